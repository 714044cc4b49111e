"""Benchmark cases that this process measures itself: all models of a run in one runtime, with one
precision and number of threads, interleaved.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field

from lolvit.errors import DeviceError, LolvitError
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener, Models
from lolvit_benchmarks.harness import timing
from lolvit_benchmarks.harness.candidates import (
    COMPARISON,
    Configuration,
    InspectedCandidate,
    Outcome,
    failure_of,
    fastest_precisions,
    has_several_precisions,
    inspect_candidates,
)
from lolvit_benchmarks.harness.prepare import Photo, Prepared
from lolvit_benchmarks.harness.processes import BlockProcesses
from lolvit_benchmarks.harness.schedule import SELECTION, Profile
from lolvit_benchmarks.harness.sessions import opened, timed_artifact
from lolvit_benchmarks.harness.system_monitor import (
    Machine,
    Reading,
    SystemMonitor,
    available_cores,
    conditions_of,
    pinned,
)
from lolvit_benchmarks.harness.timing import Curve, Progress, Recording, Runnable, sustain
from lolvit_benchmarks.profiling.worker import Profiled, Profiles, collect
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo


@dataclass(frozen=True)
class LocalDevice:
    """A device that this process measures: its own processor or, with `info`, an accelerator of
    this machine, described from a candidate's inspection. `pin` keeps the process on as many cores
    as there are threads."""

    id: str = "host"
    info: Callable[[InspectedCandidate], DeviceInfo] | None = None
    pin: bool = True

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`: each configuration is one benchmark case."""
        for models, configuration in itertools.product(job.groups, job.configurations):
            case = BenchmarkCase(configuration, device=self.id, info=self.info, pin=self.pin)
            _run(case, models, job, keeper, listener)


def _run(case: BenchmarkCase, models: Models, job: Job, keeper: Keeper, listener: Listener) -> None:
    configuration, failures = case.configuration, []
    try:
        case.prepare(models, job.photo, listener.say)
        listener.say(
            f"{configuration.runtime} {configuration.precision}, threads: {configuration.threads}"
        )
        case.measure(job.profile, Machine(), listener.progress, job.sustain_s, listener.say)
        if job.profile_ops:
            case.profile_operations(listener.say)
    except DeviceError as error:
        failures.append(failure_of(configuration, case.device, error))
    finally:  # what was measured before a failure, or Ctrl-C, is kept
        failures += [
            failure_of(configuration, case.device, error, model) for model, error in case.dropped
        ]
        keeper.keep(results=case.results(), failures=failures)


@dataclass
class BenchmarkCase:
    """One benchmark case from its preparation to its results, which can be asked for after an
    interruption too. `info` describes a device other than this machine's processor."""

    configuration: Configuration
    device: str = "host"
    info: Callable[[InspectedCandidate], DeviceInfo] | None = None
    pin: bool = True
    candidates: list[InspectedCandidate] = field(default_factory=list)
    dropped: list[tuple[str, LolvitError]] = field(default_factory=list)
    recording: Recording = field(default_factory=Recording)
    cores: list[int] | None = None
    readings: list[Reading] = field(default_factory=list)
    conditions: quality.Conditions | None = None
    profiles: Profiles = field(default_factory=Profiles)
    curves: dict[str, Curve] = field(default_factory=dict)
    outputs_changed: dict[str, str] = field(default_factory=dict)

    def prepare(
        self, models: Sequence[tuple[str, Prepared]], photo: Photo, say: Callable[[str], None]
    ) -> None:
        """Inspect every model's artifacts, each in a process of its own. Of several baselines,
        those that fail are left out, in `dropped`.

        Raises:
            UserError: an artifact is missing or changed, or its activations are denormal.
            DeviceError: the runtime failed to open one, or crashed on it.
        """
        for number, (name, prepared) in enumerate(models):
            say(f"{self.configuration.runtime}: inspecting {name}")
            try:
                self.candidates += inspect_candidates(name, prepared, self.configuration, photo)
            except LolvitError as error:
                if number == 0 or len(models) <= COMPARISON:
                    raise
                self.dropped.append((name, error))
        if len({one.model for one in self.candidates}) < COMPARISON:
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
        """Time all candidates, interleaved; of a model in several precisions, the fastest is found
        before. Then, if `sustain_s` is given, run each for as many seconds by itself.

        Raises:
            DeviceError: the runtime failed.
        """
        if has_several_precisions(self.candidates):
            self._select(machine, progress, say)
        if profile.processes:
            self._measure_in_processes(profile, progress)
        else:
            self._measure_here(profile, machine, progress)
        if sustain_s is not None:
            self._sustain(machine, sustain_s, say)

    def _select(self, machine: Machine, progress: Progress, say: Callable[[str], None]) -> None:
        """Leave of each model the artifact in its fastest precision. What is reported of it is
        measured again: the smallest of several medians is too small by its own noise."""
        say(f"{self.configuration.runtime}: finding the fastest precision of each model")
        recording = Recording()
        with self._pinned(machine) as cores:
            monitor = SystemMonitor(machine, cores or available_cores())
            timing.measure(self._opened, SELECTION, recording, monitor, progress=progress)
        self.outputs_changed = {}  # of the chosen ones, outputs are compared again
        self.candidates = fastest_precisions(self.candidates, recording)

    def _measure_in_processes(self, profile: Profile, progress: Progress) -> None:
        processes = BlockProcesses(self.configuration, self.pin, self.recording)
        try:
            processes.measure(self.candidates, profile, progress)
        finally:
            self.readings, self.cores = processes.readings, processes.cores
            self.outputs_changed = processes.outputs_changed
            if processes.usage is not None:
                self.conditions = conditions_of(
                    processes.usage,
                    processes.used_cores,
                    processes.readings,
                    interrupted=not self.recording.complete,
                )

    def _measure_here(self, profile: Profile, machine: Machine, progress: Progress) -> None:
        with self._pinned(machine) as self.cores:
            monitor = SystemMonitor(machine, self.cores or available_cores())
            try:
                timing.measure(self._opened, profile, self.recording, monitor, progress=progress)
            finally:
                interrupted = not self.recording.complete
                self.readings = monitor.readings
                self.conditions = monitor.conditions(interrupted=interrupted)

    def _sustain(self, machine: Machine, seconds: float, say: Callable[[str], None]) -> None:
        runtime = self.configuration.runtime
        with self._pinned(machine), self._opened(0) as runnables:
            for one in runnables:
                say(f"{runtime}: {one.name} without a pause for {seconds:g} s")
                self.curves[one.name] = sustain(one.run, seconds)

    def _opened(self, block: int) -> AbstractContextManager[list[Runnable]]:
        configuration = self.configuration
        artifacts = [timed_artifact(one) for one in self.candidates]
        return opened(
            configuration.runtime, configuration.threads, artifacts, self.outputs_changed, block
        )

    @contextmanager
    def _pinned(self, machine: Machine) -> Iterator[list[int] | None]:
        keep = pinned(self.configuration.threads, machine) if self.pin else nullcontext(None)
        with keep as cores:
            yield cores

    def profile_operations(self, say: Callable[[str], None]) -> None:
        """Profile the operations of each candidate, in sessions that aren't timed."""
        models = [
            Profiled(
                one.name, one.prepared.folder, one.artifact, one.image, one.prepared.manifest.macs
            )
            for one in self.candidates
        ]
        self.profiles = collect(self.configuration.runtime, self.configuration.threads, models, say)

    def results(self) -> list[result.Result]:
        """Return the first model against each other one; nothing where fewer than two rounds were
        finished."""
        if self.conditions is None or not self.recording.rounds:
            return []
        profiles = {
            one.name: self.profiles.of(one.name, stats.median(self.recording.samples(one.name).ms))
            for one in self.candidates
        }
        return Outcome(
            self.configuration,
            self.candidates,
            self.recording,
            self.conditions,
            device=self.device,
            device_info=self.info(self.candidates[0]) if self.info else None,
            readings=[result.Reading(**asdict(reading)) for reading in self.readings],
            cores=self.cores,
            profiles={name: found for name, found in profiles.items() if found is not None},
            roofline=self.profiles.roofline,
            curves=self.curves,
            outputs_changed=self.outputs_changed,
            notes=tuple(self.profiles.notes),
        ).results()
