"""A GPU of this machine, by LiteRT's accelerator: what of it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lolvit_benchmarks.backends.registry import DEVICES, DeviceStatus
from lolvit_runtimes import vulkan
from lolvit_runtimes.probe import runtime_status

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.options import DeviceOptions
    from lolvit_benchmarks.harness.candidates import Entrant
    from lolvit_benchmarks.results.device import DeviceInfo

ID = "litert-gpu"
_TELLS = ("latency", "whether all operations run on the GPU", "numbers")
_SILENT = ("the GPU's clock and heat", "energy", "memory on the GPU")


def list_devices() -> list[DeviceStatus]:
    """Return this machine's GPU, or the one in software that stands in for it."""
    (runtime,) = (s for s in runtime_status() if s.id in DEVICES[ID].runtimes)
    if not runtime.ready:
        return [DeviceStatus(ID, "gpu", False, runtime.reason)]
    if not vulkan.ready():
        return [DeviceStatus(ID, "gpu", False, f"no Vulkan driver: {vulkan.REMEDY}")]
    software = vulkan.in_software()
    what = "SwiftShader, a GPU in software: its speed is no GPU's" if software else "this machine's"
    return [DeviceStatus(ID, "gpu", True, what, tells=_TELLS, silent=_SILENT)]


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return the GPU."""
    from lolvit_benchmarks.backends.local.host_cases import Cells  # numpy, pydantic

    return Cells(ID, _info, pin=False)


def _info(entrant: Entrant) -> DeviceInfo:
    from lolvit_benchmarks.results.device import DeviceInfo
    from lolvit_runtimes.litert_gpu import is_software

    seen = entrant.seen.options
    return DeviceInfo(
        id=ID, kind="gpu", name=seen["adapter"], software=is_software(seen),
        details={"arithmetic": seen["arithmetic"], "adapter type": seen["adapter_type"]},
    )  # fmt: skip
