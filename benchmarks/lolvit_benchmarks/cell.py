"""One measurement: all models of a run in one runtime, with one precision and number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial

from lolvit.artifact import Artifact, Precision
from lolvit.errors import DeviceError, LolvitError
from lolvit_benchmarks import measure as timing
from lolvit_benchmarks import result, stats, verdict
from lolvit_benchmarks.denormals import refuse_denormals
from lolvit_benchmarks.inputs import Photo, prepare_input, preprocess_ms
from lolvit_benchmarks.measure import Progress, Recording, Samples
from lolvit_benchmarks.pinning import available_cores, pinned
from lolvit_benchmarks.preflight import Preflight, preflight
from lolvit_benchmarks.prepare import Prepared
from lolvit_benchmarks.profile_ops import Profiles, Subject, collect
from lolvit_benchmarks.schedule import Profile
from lolvit_benchmarks.sustained import Curve, sustain
from lolvit_benchmarks.sysfs import Machine
from lolvit_benchmarks.watch import Watch
from lolvit_runtimes.session import FloatArray, open_session
from lolvit_runtimes.table import RUNTIMES

COMPARISON = 2  # models: of more than these, one that fails is left out
MATCHED_PARAMETERS = 0.03  # two models within this share of each other are of one size


@dataclass(frozen=True)
class Setting:
    """Where a measurement runs."""

    runtime: str
    precision: Precision
    threads: int


@dataclass(frozen=True)
class Entrant:
    """One model of a measurement, with all that is needed to time and describe it."""

    name: str
    prepared: Prepared
    artifact: Artifact
    image: FloatArray
    preprocess_ms: float
    seen: Preflight


@dataclass
class Cell:
    """A measurement from its start to its results, which can be asked for after an interruption
    too. The first entrant is `a` of every result, each other one `b` of one."""

    setting: Setting
    entrants: list[Entrant] = field(default_factory=list)
    dropped: list[tuple[str, LolvitError]] = field(default_factory=list)
    recording: Recording = field(default_factory=Recording)
    cores: list[int] | None = None
    watch: Watch | None = None
    conditions: verdict.Conditions | None = None
    profiles: Profiles = field(default_factory=Profiles)
    curves: dict[str, Curve] = field(default_factory=dict)

    def prepare(
        self, models: Sequence[tuple[str, Prepared]], photo: Photo, say: Callable[[str], None]
    ) -> None:
        """Look at every model's artifact in a process of its own. Of several to compare with, those
        that fail are left out, in `dropped`.

        Raises:
            UserError: an artifact is missing or changed, or its activations are denormal.
            DeviceError: the runtime refused one or crashed on it.
        """
        for number, (name, prepared) in enumerate(models):
            say(f"{self.setting.runtime}: looking at {name}")
            try:
                self.entrants.append(_entrant(name, prepared, self.setting, photo))
            except LolvitError as error:
                if number == 0 or len(models) <= COMPARISON:
                    raise
                self.dropped.append((name, error))
        if len(self.entrants) < COMPARISON:
            first, why = self.dropped[0]
            raise DeviceError(f"no model is left to compare with; {first}: {why.line()}")

    def measure(
        self,
        profile: Profile,
        machine: Machine,
        progress: Progress,
        sustain_s: float | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Time all entrants against each other, interleaved; then, if `sustain_s` is given, run
        each for as many seconds by itself.

        Raises:
            DeviceError: the runtime failed.
        """
        with pinned(self.setting.threads, machine) as self.cores, self._sides() as sides:
            self.watch = Watch(machine, self.cores or available_cores())
            try:
                timing.measure(sides, profile, self.recording, self.watch, progress=progress)
            finally:
                interrupted = not self.recording.complete
                self.conditions = self.watch.conditions(interrupted=interrupted)
            for side in sides if sustain_s is not None else ():
                say(f"{self.setting.runtime}: {side.name} without a pause for {sustain_s:g} s")
                self.curves[side.name] = sustain(side.run, sustain_s or 0.0)

    def profile_operations(self, say: Callable[[str], None]) -> None:
        """Find out where the time of each entrant goes, in sessions that aren't timed."""
        subjects = [
            Subject(
                one.name, one.prepared.folder, one.artifact, one.image, one.prepared.manifest.macs
            )
            for one in self.entrants
        ]
        self.profiles = collect(self.setting.runtime, self.setting.threads, subjects, say)

    @contextmanager
    def _sides(self) -> Iterator[list[timing.Side]]:
        """Open a session for each entrant, and close all in the end."""
        runtime, threads = self.setting.runtime, self.setting.threads
        with ExitStack() as stack:
            sides = []
            for one in self.entrants:
                path = one.prepared.folder / one.artifact.path
                session = open_session(runtime, path, one.artifact, threads=threads)
                stack.enter_context(closing(session))
                sides.append(timing.Side(one.name, partial(session.run, one.image)))
            yield sides

    def results(self) -> list[result.Result]:
        """Return the first entrant against each other one; nothing where no round was finished."""
        if self.watch is None or self.conditions is None or not self.recording.rounds:
            return []
        a, *others = [
            _side(one, self.recording.samples(one.name), self.profiles, self.curves.get(one.name))
            for one in self.entrants
        ]
        return [self._result(a, b, self.conditions, self.watch) for b in others]

    def _result(
        self, a: result.Side, b: result.Side, conditions: verdict.Conditions, watch: Watch
    ) -> result.Result:
        seen = {one.name: one.seen for one in self.entrants}
        interval = stats.ratio_of_medians(b.samples, a.samples, a.sample_round)
        return result.Result(
            runtime=self.setting.runtime,
            runtime_version=seen[a.model].runtime_version,
            device="host",
            precision=self.setting.precision,
            threads=self.setting.threads,
            pinned_cores=tuple(self.cores) if self.cores is not None else None,
            placement=result.Placement(a=seen[a.model].placement, b=seen[b.model].placement),
            a=a,
            b=b,
            speedup=result.Speedup(ratio=interval.value, low=interval.low, high=interval.high),
            verdict=_verdict(a, b, interval, conditions),
            notes=(*notes(a, b), *self.profiles.notes),
            conditions=result.Conditions(**asdict(conditions)),
            readings=tuple(result.Reading(**asdict(reading)) for reading in watch.readings),
            roof=self.profiles.roof if a.profile or b.profile else None,
        )


def _entrant(name: str, prepared: Prepared, setting: Setting, photo: Photo) -> Entrant:
    artifact = prepared.artifact(RUNTIMES[setting.runtime].format, setting.precision)
    preprocess = prepared.manifest.preprocess
    image = prepare_input(photo, preprocess, artifact)
    seen = preflight(setting.runtime, prepared.folder, artifact, setting.threads, image)
    refuse_denormals(seen.denormal_share, where=str(prepared.folder / artifact.path))
    took = preprocess_ms(photo, preprocess, artifact)
    return Entrant(name, prepared, artifact, image, took, seen)


def _side(one: Entrant, samples: Samples, profiles: Profiles, curve: Curve | None) -> result.Side:
    manifest, ms = one.prepared.manifest, samples.ms
    median_ms = stats.median(ms)
    return result.Side(
        model=one.name,
        size=manifest.size,
        params=manifest.params,
        macs=manifest.macs,
        trained=manifest.weights.trained,
        weights_source=manifest.weights.source,
        artifact=one.artifact.path,
        artifact_bytes=one.artifact.bytes,
        artifact_sha256=one.artifact.sha256,
        median_ms=median_ms,
        p90_ms=stats.percentile(ms, 0.90),
        p99_ms=stats.percentile(ms, 0.99),
        throughput_per_s=1000 * len(ms) / sum(ms),
        variation=stats.variation(ms),
        variation_trimmed=stats.trimmed_variation(ms),
        drift=stats.drift(ms, samples.block),
        block_medians_ms=tuple(stats.group_medians(ms, samples.block)),
        load_ms=one.seen.load_ms,
        first_ms=one.seen.first_ms,
        preprocess_ms=one.preprocess_ms,
        peak_memory_bytes=one.seen.peak_memory_bytes,
        denormal_share=one.seen.denormal_share,
        options=one.seen.options,
        profile=profiles.of(one.name, median_ms),
        samples=tuple(ms),
        sample_block=tuple(samples.block),
        sample_round=tuple(samples.round),
        sample_order=tuple(samples.order),
        sustained=result.Sustained(**asdict(curve)) if curve is not None else None,
    )


def _verdict(
    a: result.Side, b: result.Side, interval: stats.Interval, conditions: verdict.Conditions
) -> result.Verdict:
    sides = [verdict.Series(side.model, side.samples, side.sample_block) for side in (a, b)]
    found = verdict.reasons(sides, conditions)
    return result.Verdict(
        state=verdict.state_of(found),
        reasons=tuple(result.Reason(code=reason.code, text=reason.text) for reason in found),
        winner=verdict.winner(interval),
    )


def notes(a: result.Side, b: result.Side) -> tuple[str, ...]:
    """Return what has to be said beside the figures of two models."""
    untrained = [side.model for side in (a, b) if not side.trained]
    found = []
    if untrained:
        found.append(
            f"Weights are untrained ({', '.join(untrained)}; BatchNorm calibrated on photos): "
            "these are times of the architecture, and say nothing of accuracy."
        )
    if a.size != b.size:
        sizes = " and ".join(f"{side.model} {side.size[0]}x{side.size[1]}" for side in (a, b))
        found.append(f"The models see images of different sizes: {sizes}.")
    if abs(a.params / b.params - 1) > MATCHED_PARAMETERS:
        found.append(
            f"The models differ in parameters: {a.model} has {a.params / 1e6:.2f} M, "
            f"{b.model} {b.params / 1e6:.2f} M."
        )
    return tuple(found)
