"""Which devices there are: data alone, so that `lolvit devices` loads only what it lists."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lolvit.errors import UserError
from lolvit.registry import choose, choose_many
from lolvit_runtimes.table import RUNTIMES

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.options import DeviceOptions


@dataclass(frozen=True)
class DeviceStatus:
    """One device as `lolvit devices` lists it: what it can and what it can't tell."""

    id: str
    kind: str
    ready: bool
    reason: str
    tells: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceEntry:
    """One kind of device: the module that has its `list_devices` and `open_device`, what is written
    after its name and a colon, and its runtimes with the formats that they open. Those named in
    `defaults` are used where the user names none. Several of a kind that is measured `together` are
    opened as one device. One without runtimes is for `lolvit verify` alone. `precisions` are
    compared where the user names none."""

    module: str
    runtimes: Mapping[str, str]
    defaults: tuple[str, ...]
    argument: str | None = None
    together: bool = False
    precisions: str = "fp32"


def _host_runtimes() -> dict[str, str]:
    """Return the runtimes whose speed on this machine means something: references are for
    numbers."""
    return {name: entry.format for name, entry in RUNTIMES.items() if entry.timed}


QNN_ESTIMATE = "qnn-estimate"
# In the order in which they are listed.
DEVICES: dict[str, DeviceEntry] = {
    "host": DeviceEntry(
        "lolvit_benchmarks.backends.local.host", _host_runtimes(), defaults=("ort", "litert")
    ),
    "litert-gpu": DeviceEntry(
        "lolvit_benchmarks.backends.local.litert_gpu",
        {"litert-gpu": "tflite"},
        defaults=("litert-gpu",),
    ),
    "apple": DeviceEntry(
        "lolvit_benchmarks.backends.local.apple",
        {"coreml-cpu": "coreml", "coreml-gpu": "coreml", "coreml-ane": "coreml"},
        defaults=("coreml-cpu", "coreml-gpu", "coreml-ane"),
    ),
    "browser": DeviceEntry(
        "lolvit_benchmarks.backends.browser.backend",
        {
            "ort-web-wasm": "onnx",
            "ort-web-webgpu": "onnx",
            "litert-web-wasm": "tflite",
            "litert-web-webgpu": "tflite",
        },
        defaults=("ort-web-wasm", "litert-web-wasm"),
    ),
    QNN_ESTIMATE: DeviceEntry(
        "lolvit_benchmarks.backends.qnn.backend",
        {"qnn": "qnn"},
        defaults=("qnn",),
        argument="all, or SOC[,SOC]",
        precisions="fp16,int8,w8a16",  # all that the chips compute in
    ),
    "adb": DeviceEntry(
        "lolvit_benchmarks.backends.android.backend",
        {"litert": "tflite", "ort": "onnx"},
        defaults=("litert",),
        argument="SERIAL",
        together=True,
    ),
    "arm64": DeviceEntry("lolvit_benchmarks.backends.local.arm64", {}, defaults=()),
}


@dataclass(frozen=True)
class Chosen:
    """A device that the user named, with those of its runtimes that are wanted."""

    id: str
    name: str
    argument: str | None
    runtimes: tuple[str, ...]

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of artifacts that the runtimes open."""
        known = DEVICES[self.name].runtimes
        return tuple(dict.fromkeys(known[runtime] for runtime in self.runtimes))

    @property
    def precisions(self) -> str:
        """What is compared where the user names no precision, as `--precision` takes it."""
        return DEVICES[self.name].precisions

    def open(self, options: DeviceOptions) -> Device:
        """Open the device.

        Raises:
            UserError, DeviceError: it is not there, or not ready.
        """
        device: Device = _module(self.name).open_device(self.argument, options)
        return device


def choose_devices(
    text: str, runtimes: str | None, formats: Collection[str] = ()
) -> tuple[Chosen, ...]:
    """Return the devices of text such as `host,browser` or `adb:1234,adb:5678`. What follows a
    comma and is no device belongs to the one before it: `qnn-estimate:52,57`.

    `runtimes` names some of theirs, comma-separated; a device of which it names none, or no text,
    means a device's defaults. Of those only what opens one of the `formats`, if any are given, or
    else whatever else of the device does.

    Raises:
        UserError: a device or a runtime is unknown, or what stands after a colon is missing or
            not wanted.
    """
    entries = [_split(entry) for entry in _joined(text)]
    known = [runtime for name, _ in entries for runtime in DEVICES[name].runtimes]
    wanted = choose_many("runtime", runtimes, dict.fromkeys(known)) if runtimes is not None else []
    return tuple(_chosen(*entry, wanted, formats) for entry in _together(entries))


def list_devices() -> list[DeviceStatus]:
    """Return every device that can be seen from here, ready or not."""
    return [status for name in DEVICES for status in _module(name).list_devices()]


def _module(name: str) -> Any:
    return importlib.import_module(DEVICES[name].module)


def _joined(text: str) -> list[str]:
    joined: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if joined and ":" in joined[-1] and part.partition(":")[0] not in DEVICES:
            joined[-1] += f",{part}"
        elif part:
            joined.append(part)
    if not joined:
        raise UserError("no device given", remedy=f"choose from: {', '.join(DEVICES)}")
    return joined


def _split(text: str) -> tuple[str, str | None]:
    name, colon, argument = text.partition(":")
    entry = DEVICES[choose("device", name, DEVICES)]
    if not entry.runtimes:
        raise UserError(
            f"device '{name}' tells numbers and no speed",
            remedy=f"run: lolvit verify FOLDER --device {name}",
        )
    wanted = entry.argument
    if colon and wanted is None:
        raise UserError(f"device '{name}' takes nothing after a colon", remedy=f"write {name}")
    if wanted is not None and not argument:
        raise UserError(f"device '{name}' needs more", remedy=f"write {name}:{wanted}")
    return name, argument or None


def _together(entries: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """Return each device once, those that are measured together as one."""
    found: dict[tuple[str, str | None], list[str | None]] = {}
    for name, argument in entries:
        key = (name, None if DEVICES[name].together else argument)
        found.setdefault(key, []).append(argument)
    return [
        (name, ",".join(filter(None, dict.fromkeys(arguments))) or None)
        for (name, _), arguments in found.items()
    ]


def _chosen(
    name: str, argument: str | None, wanted: Sequence[str], formats: Collection[str]
) -> Chosen:
    entry = DEVICES[name]
    own = tuple(runtime for runtime in wanted if runtime in entry.runtimes)
    fitting = [runtime for runtime, format in entry.runtimes.items() if format in formats]
    usual = tuple(runtime for runtime in entry.defaults if runtime in fitting)
    chosen = own or usual or tuple(fitting) or entry.defaults
    return Chosen(name if argument is None else f"{name}:{argument}", name, argument, chosen)
