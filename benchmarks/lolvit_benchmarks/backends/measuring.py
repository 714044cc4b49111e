"""How every device that is reached from here measures: prepare, push, measure, restore."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_benchmarks.analysis.quality import Conditions
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener, Models
from lolvit_benchmarks.harness.candidates import Entrant, Setting, chosen_artifacts, failure_of
from lolvit_benchmarks.harness.inputs import Photo, prepare_input
from lolvit_benchmarks.harness.inspection import Preflight
from lolvit_benchmarks.harness.outcome import Outcome
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.timing import Progress, Recording
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import DeviceInfo
from lolvit_runtimes.session import FloatArray

Say = Callable[[str], None]


@dataclass(frozen=True)
class Contestant:
    """One artifact of a measurement, and the input that it runs on, in its own layout."""

    name: str
    model: str
    prepared: Prepared
    artifact: Artifact
    image: FloatArray


@dataclass(frozen=True)
class Seen:
    """What the device told of one contestant, its placement in `look`."""

    look: Preflight
    preprocess_ms: float | None


@dataclass(frozen=True)
class Telemetry:
    """What the device told of itself during one measurement."""

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
        """Look whether the device can be measured on, note its state, and set what has to be set.

        Raises:
            UserError, DeviceError: it is not there, or not fit to be measured on.
        """

    def push(self, contestants: Sequence[Contestant], say: Say) -> None:
        """Bring artifacts and inputs to the device, as far as they aren't there.

        Raises:
            DeviceError: it refused them, or is full.
        """

    def measure(
        self,
        contestants: Sequence[Contestant],
        setting: Setting,
        profile: Profile,
        recording: Recording,
        progress: Progress,
    ) -> None:
        """Time the contestants interleaved; `recording` gets each round as it is made, so that an
        interruption leaves the rounds before it.

        Raises:
            DeviceError: the device failed or is gone.
        """

    def seen(self) -> Mapping[str, Seen]:
        """Return what the last measurement has seen of each contestant, by name: of fewer where it
        was cut short."""

    def telemetry(self, *, interrupted: bool) -> Telemetry:
        """Return what the device has told of itself since `measure` began."""

    def restore(self, say: Say) -> None:
        """Put the device back as `prepare` found it."""


def compare(
    device: Measuring, formats: Mapping[str, str], job: Job, keeper: Keeper, listener: Listener
) -> None:
    """As `Device.compare`; `formats` are those that the device's runtimes open.

    Raises:
        UserError, DeviceError, KeyboardInterrupt: as `Device.compare`.
    """
    with _restored(device, listener.say):
        device.prepare(listener.say)
        for models, setting in itertools.product(job.groups, job.settings):
            listener.say(f"{device.id}: {setting.runtime} {setting.precision}, "
                         f"threads: {setting.threads}")  # fmt: skip
            contestants = _contestants(models, setting, formats[setting.runtime], job.photo)
            device.push(contestants, listener.say)
            _measure(device, contestants, setting, job, keeper, listener)


@contextmanager
def _restored(device: Measuring, say: Say) -> Iterator[None]:
    try:
        yield
    finally:
        device.restore(say)


def _contestants(models: Models, setting: Setting, format: str, photo: Photo) -> list[Contestant]:
    return [
        Contestant(name, model, prepared, artifact,
                   prepare_input(photo, prepared.manifest.preprocessing, artifact))
        for model, prepared in models
        for name, artifact in chosen_artifacts(model, prepared, format, setting.precision)
    ]  # fmt: skip


def _measure(
    device: Measuring,
    contestants: Sequence[Contestant],
    setting: Setting,
    job: Job,
    keeper: Keeper,
    listener: Listener,
) -> None:
    recording = Recording()
    failures: list[result.Failure] = []
    try:
        device.measure(contestants, setting, job.profile, recording, listener.progress)
    except DeviceError as error:
        failures.append(failure_of(setting, device.id, error))
    finally:
        results = _results(device, contestants, setting, recording)
        keeper.keep(results=results, failures=failures)


def _results(
    device: Measuring, contestants: Sequence[Contestant], setting: Setting, recording: Recording
) -> list[result.Result]:
    seen = device.seen()
    if not recording.rounds or any(one.name not in seen for one in contestants):
        return []
    told = device.telemetry(interrupted=not recording.complete)
    entrants = [
        Entrant(one.name, one.model, one.prepared, one.artifact, one.image,
                seen[one.name].preprocess_ms, seen[one.name].look)
        for one in contestants
    ]  # fmt: skip
    return Outcome(
        setting, entrants, recording, told.conditions, readings=told.readings,
        device=device.id, device_info=told.info, notes=told.notes,
    ).results()  # fmt: skip
