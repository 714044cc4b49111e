"""This machine's processor, as a device: what of it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lolvit_benchmarks.backends.registry import DEVICES, DeviceStatus
from lolvit_runtimes.probe import Status, runtime_status

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.options import DeviceOptions

_TELLS = ("latency", "placement", "memory", "load", "clock and heat where the system has them")


def list_devices() -> list[DeviceStatus]:
    """Return this machine."""
    wanted = DEVICES["host"].runtimes
    return [status_of([status for status in runtime_status() if status.id in wanted])]


def status_of(runtimes: Sequence[Status]) -> DeviceStatus:
    """Return this machine as a device: ready if any of its runtimes is."""
    ready = [f"{status.id} {status.version}" for status in runtimes if status.ready]
    if not ready:
        missing = "no runtime is installed; run: pip install 'lolvit[bench]'"
        return DeviceStatus("host", "cpu", False, missing)
    reason = f"this machine, with {', '.join(ready)}"
    return DeviceStatus("host", "cpu", True, reason, tells=_TELLS, silent=("energy",))


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return this machine."""
    from lolvit_benchmarks.backends.local.host_cases import Cells  # numpy, pydantic

    return Cells()
