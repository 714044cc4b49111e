"""One measurement: all models of a run in one runtime, with one precision and number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial

from lolvit.errors import DeviceError, LolvitError
from lolvit_benchmarks.analysis import quality as verdict
from lolvit_benchmarks.harness import timing
from lolvit_benchmarks.harness.candidates import COMPARISON, Entrant, Setting, entrants
from lolvit_benchmarks.harness.inputs import Photo
from lolvit_benchmarks.harness.outcome import Outcome
from lolvit_benchmarks.harness.pinning import available_cores, pinned
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.sustained import Curve, sustain
from lolvit_benchmarks.harness.sysfs import Machine
from lolvit_benchmarks.harness.system_monitor import Watch
from lolvit_benchmarks.harness.timing import Progress, Recording
from lolvit_benchmarks.profiling.worker import Profiles, Subject, collect
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import DeviceInfo
from lolvit_runtimes.session import open_session


@dataclass
class Cell:
    """A measurement from its start to its results, which can be asked for after an interruption
    too. The first entrant is `a` of every result, each other one `b` of one. `info` describes a
    device other than this machine's processor."""

    setting: Setting
    device: str = "host"
    info: Callable[[Entrant], DeviceInfo] | None = None
    pin: bool = True
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
                self.entrants += entrants(name, prepared, self.setting, photo)
            except LolvitError as error:
                if number == 0 or len(models) <= COMPARISON:
                    raise
                self.dropped.append((name, error))
        if len({one.model for one in self.entrants}) < COMPARISON:
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
        keep_to_cores = pinned(self.setting.threads, machine) if self.pin else nullcontext(None)
        with keep_to_cores as self.cores, self._sides() as sides:
            self.watch = Watch(machine, self.cores or available_cores())
            try:
                timing.measure(sides, profile, self.recording, self.watch, progress=progress)
            finally:
                interrupted = not self.recording.complete
                self.conditions = self.watch.conditions(interrupted=interrupted)
            if sustain_s is not None:
                for side in sides:
                    say(f"{self.setting.runtime}: {side.name} without a pause for {sustain_s:g} s")
                    self.curves[side.name] = sustain(side.run, sustain_s)

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
                sides.append(
                    timing.Side(
                        one.name, partial(session.run, {one.artifact.image.name: one.image})
                    )
                )
            yield sides

    def results(self) -> list[result.Result]:
        """Return the first entrant against each other one; nothing where no round was finished."""
        if self.watch is None or self.conditions is None:
            return []
        return Outcome(
            self.setting,
            self.entrants,
            self.recording,
            self.conditions,
            device=self.device,
            device_info=self.info(self.entrants[0]) if self.info else None,
            readings=[result.Reading(**asdict(reading)) for reading in self.watch.readings],
            cores=self.cores,
            profiles=self.profiles,
            curves=self.curves,
        ).results()
