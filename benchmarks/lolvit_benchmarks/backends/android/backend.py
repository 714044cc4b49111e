"""Android phones over adb: their listing, and the device entry."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from lolvit.errors import LolvitError
from lolvit_benchmarks.backends.registry import DeviceStatus

if TYPE_CHECKING:
    from lolvit_benchmarks.backends.android.client import Adb
    from lolvit_benchmarks.backends.backend import Device
    from lolvit_benchmarks.backends.registry import DeviceOptions

_REPORTED = ("latency", "placement", "memory", "load", "temperature", "battery", "governor",
          "clock limit", "throttling")  # fmt: skip
_NOT_REPORTED = ("time of single operations", "energy")
_START_TIMEOUT_S = 20.0  # adb's server starts with the first call
_DEVICE_LINE = re.compile(r"^(\S+)[ \t]+\S", re.MULTILINE)
_TIMEOUT_S = 10.0


def list_devices() -> list[DeviceStatus]:
    """Return each attached phone, or one entry with the reason why there is none."""
    from lolvit_benchmarks.backends.android.client import INSTALL_ADB, Adb

    program = shutil.which("adb")
    if program is None:
        return [DeviceStatus("adb", "phone", False, f"adb is not on the PATH: {INSTALL_ADB}")]
    try:
        serials = attached(program)
    except (OSError, subprocess.SubprocessError) as error:
        return [DeviceStatus("adb", "phone", False, f"adb devices failed: {error}")]
    if not serials:
        why = (
            "no phone is attached: connect one with USB debugging enabled, or run: adb connect HOST"
        )
        return [DeviceStatus("adb", "phone", False, why)]
    return [_status(Adb(serial, program)) for serial in serials]


def attached(program: str) -> list[str]:
    """Return the serials that adb lists, in any state.

    Raises:
        OSError, subprocess.SubprocessError: adb failed or timed out.
    """
    result = subprocess.run(
        [program, "devices"], capture_output=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL, timeout=_START_TIMEOUT_S, check=True,
    )  # fmt: skip
    _, _, listed = result.stdout.partition("List of devices attached")
    return _DEVICE_LINE.findall(listed)


def _status(adb: Adb) -> DeviceStatus:
    from lolvit_benchmarks.backends.android import phone
    from lolvit_benchmarks.backends.android.contract import PACKAGE

    id = f"adb:{adb.serial}"
    try:
        phone.require_ready(adb)
        info = phone.read_info(adb)
        state = phone.read_state(adb, info)
        app = adb.shell(["pm", "path", PACKAGE], _TIMEOUT_S).code == 0
    except LolvitError as error:
        why = "; ".join(filter(None, (error.what, error.remedy)))
        return DeviceStatus(id, "phone", False, why)
    parts = [f"{info.name}, Android {info.details.get('Android', f'API {info.api}')}"]
    celsius = state.monitored_temperature_c()
    parts += [f"{celsius:g} °C"] if celsius is not None else []
    parts += ["with the app" if app else "without the app: --binary only"]
    return DeviceStatus(
        id, "phone", True, ", ".join(parts), reports=_REPORTED, not_reported=_NOT_REPORTED
    )


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return phones by their serials, comma-separated.

    Raises:
        UserError: adb is missing, a serial is invalid, or the program can't run on phones.
    """
    from lolvit_benchmarks.backends.android.phones import (
        open_phones,
    )  # numpy; `lolvit devices` needs none

    return open_phones((argument or "").split(","), options)
