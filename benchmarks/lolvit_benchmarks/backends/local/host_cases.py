"""This machine's processor, measured: models interleaved in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from lolvit.errors import DeviceError
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener, Models
from lolvit_benchmarks.harness.benchmark_case import Cell
from lolvit_benchmarks.harness.candidates import Entrant, failure_of
from lolvit_benchmarks.harness.sysfs import Machine
from lolvit_benchmarks.results.device import DeviceInfo


@dataclass(frozen=True)
class Cells:
    """What this process can measure: its own processor, or with `info` a device that it reaches
    directly, told by what was seen of an entrant. `pin` keeps it on as many cores as threads."""

    id: str = "host"
    info: Callable[[Entrant], DeviceInfo] | None = None
    pin: bool = True

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`: each setting is one cell."""
        for models, setting in itertools.product(job.groups, job.settings):
            cell = Cell(setting, device=self.id, info=self.info, pin=self.pin)
            _run_cell(cell, models, job, keeper, listener)


def _run_cell(cell: Cell, models: Models, job: Job, keeper: Keeper, listener: Listener) -> None:
    setting, failures = cell.setting, []
    try:
        cell.prepare(models, job.photo, listener.say)
        listener.say(f"{setting.runtime} {setting.precision}, threads: {setting.threads}")
        cell.measure(job.profile, Machine(), listener.progress, job.sustain_s, listener.say)
        if job.profile_ops:
            cell.profile_operations(listener.say)
    except DeviceError as error:
        failures.append(failure_of(setting, cell.device, error))
    finally:  # what was measured before a failure, or Ctrl-C, is kept
        failures += [failure_of(setting, cell.device, error, name) for name, error in cell.dropped]
        keeper.keep(results=cell.results(), failures=failures)
