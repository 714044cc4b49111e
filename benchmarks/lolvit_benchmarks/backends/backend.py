"""The interfaces of devices, and the procedure of every device that measures by itself.

`Device` is what `lolvit bench` calls. A device is one module with `list_devices` and `open_device`
and one entry in `registry.DEVICES`. One that measures by itself, such as a phone, implements
`Measuring` and is driven by `compare`: prepare, push, measure, restore.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from lolvit.errors import DeviceError
from lolvit_benchmarks.analysis.quality import Conditions
from lolvit_benchmarks.harness.candidates import (
    Candidate,
    Configuration,
    InspectedCandidate,
    Outcome,
    chosen_artifacts,
    failure_of,
    fastest_precisions,
    has_several_precisions,
)
from lolvit_benchmarks.harness.inspection import Inspection
from lolvit_benchmarks.harness.prepare import Photo, Prepared, prepare_input
from lolvit_benchmarks.harness.schedule import SELECTION, Profile
from lolvit_benchmarks.harness.timing import Progress, Recording
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo, Estimate

Models = Sequence[tuple[str, Prepared]]  # each under a name that is unique in the run
Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What a device is to measure: the first model of each group against each other one of it, in
    every configuration. A group is the models at one size; `sustain_s` is the duration of a
    sustained run of each model, in seconds."""

    groups: tuple[Models, ...]
    configurations: tuple[Configuration, ...]
    profile: Profile
    photo: Photo
    sustain_s: float | None = None
    profile_ops: bool = False


class Listener(Protocol):
    """Receives the progress of a run."""

    def say(self, line: str) -> None:
        """Show what is being done now."""

    def progress(self, done: int, planned: int) -> None:
        """Show how many rounds of the present benchmark case are done."""


class Keeper(Protocol):
    """Receives findings as they come, so that an interruption loses none."""

    def keep(
        self,
        *,
        results: Sequence[result.Result] = (),
        estimates: Sequence[Estimate] = (),
        failures: Sequence[result.Failure] = (),
    ) -> None:
        """Add findings to those of the run, and write all of them to its file."""


class Device(Protocol):
    """Where models are compared."""

    @property
    def id(self) -> str:
        """What --device calls it."""

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """Compare the models of a job, and pass findings to `keeper` as they come. A configuration
        that fails is a failure among them, and the next one is measured.

        Raises:
            UserError: an artifact is missing or wrong, or the device is not ready for the job.
            DeviceError: the device failed as a whole; its settings were restored.
            KeyboardInterrupt: interrupted; `keeper` has what was measured before.
        """


@dataclass(frozen=True)
class DeviceInspection:
    """What the device reported of one candidate: the inspection, and the milliseconds from the
    decoded photo to the input."""

    inspection: Inspection
    preprocess_ms: float | None


@dataclass(frozen=True)
class Telemetry:
    """What the device reported of itself during one benchmark case."""

    info: DeviceInfo
    conditions: Conditions
    readings: Sequence[result.Reading] = ()
    notes: tuple[str, ...] = ()


class Measuring(Protocol):
    """A device that measures by itself. `restore` is called whatever happened before."""

    @property
    def id(self) -> str:
        """What --device calls it."""

    def prepare(self, say: Say) -> None:
        """Check that the device is fit to be measured on, record its state, and apply the settings
        for measuring.

        Raises:
            UserError, DeviceError: it is not there, or not fit to be measured on.
        """

    def push(self, candidates: Sequence[Candidate], say: Say) -> None:
        """Copy artifacts and inputs to the device, as far as they aren't there.

        Raises:
            DeviceError: it refused them, or is full.
        """

    def measure(
        self,
        candidates: Sequence[Candidate],
        configuration: Configuration,
        profile: Profile,
        recording: Recording,
        progress: Progress,
    ) -> None:
        """Time the candidates interleaved; `recording` gets each round as it is made, so that an
        interruption leaves the rounds before it.

        Raises:
            DeviceError: the device failed or is gone.
        """

    def inspections(self) -> Mapping[str, DeviceInspection]:
        """Return what the device reported of each candidate of the last benchmark case, by name: of
        fewer where it was cut short."""

    def telemetry(self, *, interrupted: bool) -> Telemetry:
        """Return what the device has reported of itself since `measure` began."""

    def restore(self, say: Say) -> None:
        """Restore the settings that `prepare` found."""


def compare(
    device: Measuring, formats: Mapping[str, str], job: Job, keeper: Keeper, listener: Listener
) -> None:
    """As `Device.compare`; `formats` are the formats of artifacts by the device's runtimes.

    Raises:
        UserError, DeviceError, KeyboardInterrupt: as `Device.compare`.
    """
    with _restored(device, listener.say):
        device.prepare(listener.say)
        for models, configuration in itertools.product(job.groups, job.configurations):
            runtime = configuration.runtime
            listener.say(f"{device.id}: {runtime} {configuration.precision}, "
                         f"threads: {configuration.threads}")  # fmt: skip
            candidates = _candidates(models, configuration, formats[runtime], job.photo)
            device.push(candidates, listener.say)
            _measure(device, candidates, configuration, job, keeper, listener)


@contextmanager
def _restored(device: Measuring, say: Say) -> Iterator[None]:
    try:
        yield
    finally:
        device.restore(say)


def _candidates(
    models: Models, configuration: Configuration, format: str, photo: Photo
) -> list[Candidate]:
    return [
        Candidate(name, model, prepared, artifact,
                  prepare_input(photo, prepared.manifest.preprocessing, artifact))
        for model, prepared in models
        for name, artifact in chosen_artifacts(model, prepared, format, configuration.precision)
    ]  # fmt: skip


def _measure(
    device: Measuring,
    candidates: Sequence[Candidate],
    configuration: Configuration,
    job: Job,
    keeper: Keeper,
    listener: Listener,
) -> None:
    recording = Recording()
    failures: list[result.Failure] = []
    try:
        if has_several_precisions(candidates):
            listener.say(f"{device.id}: finding the fastest precision of each model")
            tried = Recording()
            device.measure(candidates, configuration, SELECTION, tried, listener.progress)
            candidates = fastest_precisions(candidates, tried)
        device.measure(candidates, configuration, job.profile, recording, listener.progress)
    except DeviceError as error:
        failures.append(failure_of(configuration, device.id, error))
    finally:
        results = _results(device, candidates, configuration, recording)
        keeper.keep(results=results, failures=failures)


def _results(
    device: Measuring,
    candidates: Sequence[Candidate],
    configuration: Configuration,
    recording: Recording,
) -> list[result.Result]:
    inspections = device.inspections()
    if not recording.rounds or any(one.name not in inspections for one in candidates):
        return []
    telemetry = device.telemetry(interrupted=not recording.complete)
    inspected = [
        InspectedCandidate(**vars(one), preprocess_ms=inspections[one.name].preprocess_ms,
                           inspection=inspections[one.name].inspection)
        for one in candidates
    ]  # fmt: skip
    return Outcome(
        configuration,
        inspected,
        recording,
        telemetry.conditions,
        readings=telemetry.readings,
        device=device.id,
        device_info=telemetry.info,
        notes=telemetry.notes,
    ).results()
