"""The interface that every device has, and what it is asked to do.

A device is one file here with `list_devices` and `open_device`, and one entry in `table.DEVICES`.
One that measures follows `Measuring` and is driven by `measured.compare`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lolvit_benchmarks.harness.candidates import Setting
from lolvit_benchmarks.harness.inputs import Photo
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import Estimate

Models = Sequence[tuple[str, Prepared]]  # a name that tells it from the others, and its export


@dataclass(frozen=True)
class Job:
    """What a device is to compare: the first model of each group against each other one of it, in
    every setting. A group is the models at one size."""

    groups: tuple[Models, ...]
    settings: tuple[Setting, ...]
    profile: Profile
    photo: Photo
    sustain_s: float | None = None
    profile_ops: bool = False


class Listener(Protocol):
    """Who is told of a run as it goes."""

    def say(self, line: str) -> None:
        """Hear what is being done now."""

    def progress(self, done: int, planned: int) -> None:
        """Hear how many rounds of the present measurement are done."""


class Keeper(Protocol):
    """Where findings go at once, so that an interruption loses none."""

    def keep(
        self,
        *,
        results: Sequence[result.Result] = (),
        estimates: Sequence[Estimate] = (),
        failures: Sequence[result.Failure] = (),
    ) -> None:
        """Add findings to those of the run, and write all of them to its file."""


class Device(Protocol):
    """Somewhere that models are compared."""

    @property
    def id(self) -> str:
        """What --device calls it."""

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """Compare, handing findings on as they come. A setting that fails is handed on as a
        failure, and the others are gone on with.

        Raises:
            UserError: an artifact is missing or wrong, or the device is not ready for the job.
            DeviceError: the device failed as a whole; it was put back as it was.
            KeyboardInterrupt: interrupted; what was measured was handed on before.
        """
