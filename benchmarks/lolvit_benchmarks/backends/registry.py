"""Which devices there are, and their options: data alone, so that `lolvit devices` loads only what
it lists."""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lolvit.errors import UserError
from lolvit.registry import choose, choose_many
from lolvit_runtimes.table import RUNTIMES

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.backend import Device


@dataclass(frozen=True)
class DeviceStatus:
    """One device as `lolvit devices` lists it: whether it is ready (`reason`: what it is, or why it
    is not), and which figures it reports and which it can't."""

    id: str
    kind: str
    ready: bool
    reason: str
    reports: tuple[str, ...] = ()
    not_reported: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceOptions:
    """What the user asked of single devices; a field has the name and the default of an option of
    `lolvit bench`, but for `folder`: where the run's files go."""

    folder: Path = Path("bench-results")

    # browser
    lan: bool = False
    headless: bool | None = None
    open_page: bool = False
    port: int = 0
    certificate: Path | None = None
    # adb
    max_temperature: float = 37.0  # degrees Celsius
    cool_down_limit: float = 600.0  # seconds
    binary: Path | None = None
    binary_args: str | None = None
    binary_output: str | None = None


@dataclass(frozen=True)
class DeviceEntry:
    """One kind of device.

    `provider` is the module, or `module:class`, with its `list_devices` and `open_device`;
    `runtimes` are its runtimes with the formats that they open, none for a device that only
    `lolvit verify` uses; `defaults` and `precisions` are what is measured where the user names
    none; `argument` is what is written after its name and a colon. Several of a kind that is
    measured `together` are opened as one device.
    """

    provider: str
    runtimes: Mapping[str, str]
    defaults: tuple[str, ...]
    argument: str | None = None
    together: bool = False
    precisions: str = "fp32"


def _host_runtimes() -> dict[str, str]:
    """Return the runtimes that are timed on this machine, with their formats: not the references
    that `lolvit verify` uses."""
    return {name: entry.format for name, entry in RUNTIMES.items() if entry.timed}


QNN_ESTIMATE = "qnn-estimate"
# In the order in which `lolvit devices` lists them.
DEVICES: dict[str, DeviceEntry] = {
    "host": DeviceEntry(
        "lolvit_benchmarks.backends.local:Host", _host_runtimes(), defaults=("ort", "litert")
    ),
    "litert-gpu": DeviceEntry(
        "lolvit_benchmarks.backends.local:LiteRTGpu",
        {"litert-gpu": "tflite"},
        defaults=("litert-gpu",),
    ),
    "apple": DeviceEntry(
        "lolvit_benchmarks.backends.local:Apple",
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
        "lolvit_benchmarks.backends.qnn",
        {"qnn": "qnn"},
        defaults=("qnn",),
        argument="all, or SOC[,SOC]",
        precisions="fp16,int8,w8a16",  # all that the chips support
    ),
    "adb": DeviceEntry(
        "lolvit_benchmarks.backends.android.backend",
        {"litert": "tflite", "ort": "onnx"},
        defaults=("litert",),
        argument="SERIAL",
        together=True,
    ),
    "arm64": DeviceEntry("lolvit_benchmarks.backends.local:Arm64", {}, defaults=()),
}


@dataclass(frozen=True)
class DeviceChoice:
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
        device: Device = _provider(self.name).open_device(self.argument, options)
        return device


def choose_devices(
    text: str,
    runtimes: str | None,
    formats: Collection[str] = (),
    offered: Collection[str] = (),
) -> tuple[DeviceChoice, ...]:
    """Return the devices of text such as `host,browser` or `adb:1234,adb:5678`. What follows a
    comma and is no device belongs to the one before it: `qnn-estimate:52,57`.

    `runtimes` names some of theirs, comma-separated; a device of which it names none, or no text,
    means a device's defaults. Of those only what opens one of the `formats` of the artifacts that
    are measured, if any are given, or of those that export folders have (`offered`), or else
    whatever else of the device does.

    Raises:
        UserError: a device or a runtime is unknown, what stands after a colon is missing or not
            wanted, or a runtime or a format is for verification only.
    """
    entries = [_split(entry) for entry in _joined(text)]
    _require_timed(runtimes or "", formats)
    known = [runtime for name, _ in entries for runtime in DEVICES[name].runtimes]
    wanted = choose_many("runtime", runtimes, dict.fromkeys(known)) if runtimes is not None else []
    return tuple(_chosen(*entry, wanted, formats or offered) for entry in _together(entries))


def _require_timed(runtimes: str, formats: Collection[str]) -> None:
    """Check that some device reports the speed of each runtime and format.

    Raises:
        UserError: no device does for one: it is for verification.
    """
    timed = {name: format for entry in DEVICES.values() for name, format in entry.runtimes.items()}
    for name in (part.strip() for part in runtimes.split(",")):
        if name in RUNTIMES and name not in timed:
            raise UserError(
                f"runtime '{name}' is for verification and reports no speed",
                remedy=f"choose from: {', '.join(sorted(timed))}",
            )
    for format in sorted(set(formats) - set(timed.values())):
        raise UserError(
            f"no device reports the speed of {format} artifacts",
            remedy=f"choose one of: {', '.join(sorted(set(timed.values())))}",
        )


def list_devices() -> list[DeviceStatus]:
    """Return every device that can be seen from here, ready or not."""
    return [status for name in DEVICES for status in _provider(name).list_devices()]


def _provider(name: str) -> Any:
    return pkgutil.resolve_name(DEVICES[name].provider)


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
            f"device '{name}' is for verification and reports no speed",
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
) -> DeviceChoice:
    entry = DEVICES[name]
    own = tuple(runtime for runtime in wanted if runtime in entry.runtimes)
    fitting = [runtime for runtime, format in entry.runtimes.items() if format in formats]
    usual = tuple(runtime for runtime in entry.defaults if runtime in fitting)
    chosen = own or usual or tuple(fitting) or entry.defaults
    return DeviceChoice(name if argument is None else f"{name}:{argument}", name, argument, chosen)
