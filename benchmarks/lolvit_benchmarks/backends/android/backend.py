"""Android phones over adb: what is attached, and several measured at once."""

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

_TELLS = ("latency", "placement", "memory", "load", "temperature", "battery", "governor",
          "clock limit", "throttling")  # fmt: skip
_SILENT = ("time of single operations", "energy")
_START_S = 20.0  # adb's server starts with the first call
_LISTED = re.compile(r"^(\S+)[ \t]+\S", re.MULTILINE)
_PATIENCE_S = 10.0


def list_devices() -> list[DeviceStatus]:
    """Return each attached phone, or one line why there is none."""
    from lolvit_benchmarks.backends.android.client import INSTALL_ADB, Adb

    program = shutil.which("adb")
    if program is None:
        return [DeviceStatus("adb", "phone", False, f"adb is not on the PATH: {INSTALL_ADB}")]
    try:
        serials = attached(program)
    except (OSError, subprocess.SubprocessError) as error:
        return [DeviceStatus("adb", "phone", False, f"adb devices failed: {error}")]
    if not serials:
        why = "no phone is attached: plug one in with USB debugging on, or run: adb connect HOST"
        return [DeviceStatus("adb", "phone", False, why)]
    return [_status(Adb(serial, program)) for serial in serials]


def attached(program: str) -> list[str]:
    """Return the serials that adb lists, whatever their state.

    Raises:
        OSError, subprocess.SubprocessError: adb failed, or gave no answer.
    """
    done = subprocess.run(
        [program, "devices"], capture_output=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL, timeout=_START_S, check=True,
    )  # fmt: skip
    _, _, listed = done.stdout.partition("List of devices attached")
    return _LISTED.findall(listed)


def _status(adb: Adb) -> DeviceStatus:
    from lolvit_benchmarks.backends.android import phone as adb_phone
    from lolvit_benchmarks.backends.android.contract import PACKAGE

    id = f"adb:{adb.serial}"
    try:
        adb_phone.require_ready(adb)
        facts = adb_phone.read_facts(adb)
        reading = adb_phone.read_now(adb, facts)
        app = adb.shell(["pm", "path", PACKAGE], _PATIENCE_S).code == 0
    except LolvitError as error:
        why = "; ".join(filter(None, (error.what, error.remedy)))
        return DeviceStatus(id, "phone", False, why)
    parts = [f"{facts.name}, Android {facts.details.get('Android', f'API {facts.api}')}"]
    parts += [f"{reading.hottest_c():g} °C"] if reading.hottest_c() is not None else []
    parts += ["with the app" if app else "without the app: --binary alone"]
    return DeviceStatus(id, "phone", True, ", ".join(parts), reports=_TELLS, not_reported=_SILENT)


def open_device(argument: str | None, options: DeviceOptions) -> Device:
    """Return phones by their serials, comma-separated.

    Raises:
        UserError: there is no adb, a serial can't be one, or the program can't be run on phones.
    """
    from lolvit_benchmarks.backends.android.phones import open_phones  # numpy, pydantic

    return open_phones((argument or "").split(","), options)
