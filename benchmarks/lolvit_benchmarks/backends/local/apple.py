"""A Mac's compute units, by Core ML: CPU, GPU and Neural Engine. Untested on hardware."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from lolvit.errors import UserError
from lolvit_benchmarks.backends.registry import DeviceStatus

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.options import DeviceOptions
    from lolvit_benchmarks.harness.candidates import Entrant
    from lolvit_benchmarks.results.device import DeviceInfo

ID = "apple"
_TELLS = ("latency", "planned placement on CPU, GPU and Neural Engine (macOS 14.4)")
_SILENT = ("clock and heat of GPU and Neural Engine", "energy")
_UNTESTED = "never run on a Mac: written from coremltools' documentation"


def list_devices() -> list[DeviceStatus]:
    """Return this machine, if it is a Mac."""
    if platform.system() != "Darwin":
        reason = f"Core ML runs on a Mac only ({_UNTESTED})"
        return [DeviceStatus(ID, "npu", False, reason)]
    reason = f"macOS {platform.mac_ver()[0]}, {platform.machine()} ({_UNTESTED})"
    return [DeviceStatus(ID, "npu", True, reason, tells=_TELLS, silent=_SILENT)]


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return this Mac.

    Raises:
        UserError: it is none.
    """
    if platform.system() != "Darwin":
        raise UserError(
            "Core ML runs on a Mac only", where=ID, remedy="run lolvit there, on the same folders"
        )
    from lolvit_benchmarks.backends.local.host_cases import Cells  # numpy, pydantic

    return Cells(ID, _info, pin=False)


def _info(entrant: Entrant) -> DeviceInfo:
    from lolvit_benchmarks.results.device import DeviceInfo

    units = entrant.seen.options["compute_units"]
    return DeviceInfo(
        id=ID, kind="npu", name=f"{platform.machine()}, {units}", software=False,
        details={"system": f"macOS {platform.mac_ver()[0]}", "compute units": units},
    )  # fmt: skip
