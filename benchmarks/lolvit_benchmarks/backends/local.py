"""The devices of this machine: its processor, its GPU by LiteRT, a Mac's compute units by Core ML,
and emulated phone processors.

What needs numpy or pydantic is imported on use: `lolvit devices` loads this module where only the
base of lolvit is installed.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lolvit.errors import UserError
from lolvit_benchmarks.backends.registry import DEVICES, DeviceStatus
from lolvit_runtimes import vulkan
from lolvit_runtimes.arm64_parts import CORES, read_inventory
from lolvit_runtimes.probe import Status, runtime_status

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.registry import DeviceOptions
    from lolvit_benchmarks.harness.candidates import InspectedCandidate
    from lolvit_benchmarks.results.document import DeviceInfo


class Host:
    """This machine's processor."""

    REPORTS = ("latency", "placement", "memory", "load", "clock and heat where the system has them")

    @staticmethod
    def list_devices() -> list[DeviceStatus]:
        """Return this machine."""
        wanted = DEVICES["host"].runtimes
        return [host_status([status for status in runtime_status() if status.id in wanted])]

    @staticmethod
    def open_device(argument: str | None, options: DeviceOptions) -> Device:
        """Return this machine."""
        from lolvit_benchmarks.backends.benchmark_case import LocalDevice

        return LocalDevice()


def host_status(runtimes: Sequence[Status]) -> DeviceStatus:
    """Return this machine as a device: ready if any of its runtimes is."""
    ready = [f"{status.id} {status.version}" for status in runtimes if status.ready]
    if not ready:
        missing = "no runtime is installed; run: pip install 'lolvit[bench]'"
        return DeviceStatus("host", "cpu", False, missing)
    reason = f"this machine, with {', '.join(ready)}"
    return DeviceStatus("host", "cpu", True, reason, Host.REPORTS, not_reported=("energy",))


class LiteRTGpu:
    """This machine's GPU, by LiteRT's accelerator."""

    ID = "litert-gpu"
    REPORTS = ("latency", "whether all operations run on the GPU", "numbers")
    NOT_REPORTED = ("the GPU's clock and heat", "energy", "memory on the GPU")

    @classmethod
    def list_devices(cls) -> list[DeviceStatus]:
        """Return this machine's GPU, or the software GPU that stands in for it."""
        (runtime,) = (s for s in runtime_status() if s.id in DEVICES[cls.ID].runtimes)
        if not runtime.ready:
            return [DeviceStatus(cls.ID, "gpu", False, runtime.reason)]
        if not vulkan.ready():
            return [DeviceStatus(cls.ID, "gpu", False, f"no Vulkan driver: {vulkan.REMEDY}")]
        what = "this machine's"
        if vulkan.in_software():
            what = "SwiftShader, a GPU in software: its speed is no GPU's"
        return [DeviceStatus(cls.ID, "gpu", True, what, cls.REPORTS, cls.NOT_REPORTED)]

    @classmethod
    def open_device(cls, argument: str | None, options: DeviceOptions) -> Device:
        """Return the GPU."""
        from lolvit_benchmarks.backends.benchmark_case import LocalDevice

        return LocalDevice(cls.ID, cls._info, pin=False)

    @classmethod
    def _info(cls, candidate: InspectedCandidate) -> DeviceInfo:
        from lolvit_benchmarks.results.document import DeviceInfo
        from lolvit_runtimes.litert_gpu import is_software

        options = candidate.inspection.options
        return DeviceInfo(
            id=cls.ID,
            kind="gpu",
            name=options["adapter"],
            software=is_software(options),
            details={"arithmetic": options["arithmetic"], "adapter type": options["adapter_type"]},
        )


class Apple:
    """A Mac's compute units, by Core ML: CPU, GPU and Neural Engine. Untested on hardware."""

    ID = "apple"
    REPORTS = ("latency", "planned placement on CPU, GPU and Neural Engine (macOS 14.4)")
    NOT_REPORTED = ("clock and heat of GPU and Neural Engine", "energy")
    UNTESTED = "never run on a Mac: written from coremltools' documentation"

    @classmethod
    def list_devices(cls) -> list[DeviceStatus]:
        """Return this machine, if it is a Mac."""
        if platform.system() != "Darwin":
            reason = f"Core ML runs on a Mac only ({cls.UNTESTED})"
            return [DeviceStatus(cls.ID, "npu", False, reason)]
        reason = f"macOS {platform.mac_ver()[0]}, {platform.machine()} ({cls.UNTESTED})"
        return [DeviceStatus(cls.ID, "npu", True, reason, cls.REPORTS, cls.NOT_REPORTED)]

    @classmethod
    def open_device(cls, argument: str | None, options: DeviceOptions) -> Device:
        """Return this Mac.

        Raises:
            UserError: it is none.
        """
        if platform.system() != "Darwin":
            raise UserError(
                "Core ML runs on a Mac only",
                where=cls.ID,
                remedy="run lolvit there, on the same folders",
            )
        from lolvit_benchmarks.backends.benchmark_case import LocalDevice

        return LocalDevice(cls.ID, cls._info, pin=False)

    @classmethod
    def _info(cls, candidate: InspectedCandidate) -> DeviceInfo:
        from lolvit_benchmarks.results.document import DeviceInfo

        units = candidate.inspection.options["compute_units"]
        return DeviceInfo(
            id=cls.ID,
            kind="npu",
            name=f"{platform.machine()}, {units}",
            software=False,
            details={"system": f"macOS {platform.mac_ver()[0]}", "compute units": units},
        )


class Arm64:
    """Emulated phone processors: `lolvit verify` runs artifacts there, and nothing is timed."""

    ID = "arm64"
    REPORTS = ("numbers, by lolvit verify",)
    NOT_REPORTED = ("latency", "memory", "load", "heat", "energy")

    @classmethod
    def list_devices(cls) -> list[DeviceStatus]:
        """Return the emulated processors, as one device."""
        try:
            inventory = read_inventory()
        except UserError as error:
            reason = error.line()
            return [DeviceStatus(cls.ID, "cpu", False, reason, cls.REPORTS, cls.NOT_REPORTED)]
        packages = ("onnxruntime", "ai-edge-litert")
        runtimes = ", ".join(f"{name} {inventory['wheels'][name]}" for name in packages)
        cores = " and ".join(core.name for core in CORES.values())
        what = f"emulated: {cores}, with {runtimes}"
        return [DeviceStatus(cls.ID, "cpu", True, what, cls.REPORTS, cls.NOT_REPORTED)]
