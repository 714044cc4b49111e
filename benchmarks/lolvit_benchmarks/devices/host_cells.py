"""This machine's processor, measured: models interleaved in this process."""

from __future__ import annotations

import itertools

from lolvit.errors import DeviceError, LolvitError
from lolvit_benchmarks import result
from lolvit_benchmarks.cell import Cell
from lolvit_benchmarks.devices.device import Job, Keeper, Listener, Models
from lolvit_benchmarks.entrants import Setting
from lolvit_benchmarks.sysfs import Machine


class Host:
    """This machine."""

    id = "host"

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`: each setting is one cell."""
        for models, setting in itertools.product(job.groups, job.settings):
            _run_cell(models, setting, job, keeper, listener)


def _run_cell(
    models: Models, setting: Setting, job: Job, keeper: Keeper, listener: Listener
) -> None:
    cell, failures = Cell(setting), []
    try:
        cell.prepare(models, job.photo, listener.say)
        listener.say(f"{setting.runtime} {setting.precision}, threads: {setting.threads}")
        cell.measure(job.profile, Machine(), listener.progress, job.sustain_s, listener.say)
        if job.profile_ops:
            cell.profile_operations(listener.say)
    except DeviceError as error:
        failures.append(_failure(setting, None, error))
    finally:  # what was measured before a failure, or Ctrl-C, is kept
        failures += [_failure(setting, name, error) for name, error in cell.dropped]
        keeper.keep(results=cell.results(), failures=failures)


def _failure(setting: Setting, model: str | None, error: LolvitError) -> result.Failure:
    return result.Failure(
        model=model,
        device="host",
        runtime=setting.runtime,
        precision=setting.precision,
        threads=setting.threads,
        what=error.line(),
    )
