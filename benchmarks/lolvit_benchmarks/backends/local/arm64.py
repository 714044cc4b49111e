"""Phone processors, emulated: `lolvit verify` runs artifacts there, and nothing is timed."""

from __future__ import annotations

from lolvit.errors import UserError
from lolvit_benchmarks.backends.registry import DeviceStatus
from lolvit_runtimes.arm64_parts import CORES, installed

ID = "arm64"
_TELLS = ("numbers, by lolvit verify",)
_SILENT = ("latency", "memory", "load", "heat", "energy")


def list_devices() -> list[DeviceStatus]:
    """Return the emulated processors, as one device."""
    try:
        inventory = installed()
    except UserError as error:
        return [DeviceStatus(ID, "cpu", False, error.line(), _TELLS, _SILENT)]
    runtimes = [f"{name} {inventory['wheels'][name]}" for name in ("onnxruntime", "ai-edge-litert")]
    cores = " and ".join(core.name for core in CORES.values())
    what = f"emulated: {cores}, with {', '.join(runtimes)}"
    return [DeviceStatus(ID, "cpu", True, what, _TELLS, _SILENT)]
