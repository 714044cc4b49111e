"""A phone as it is found: what it is, and how it is doing now."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android import telemetry
from lolvit_benchmarks.backends.android.client import Adb
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo

OLDEST_API = 24  # Android 7: sha256sum, dumpsys and am as they are used here
_CPU = "/sys/devices/system/cpu"
_STATES = {
    "unauthorized": "unlock the phone and allow this computer to debug",
    "offline": "plug the cable in again",
    "not attached": "look at the cable and at lolvit devices",
}


@dataclass(frozen=True)
class Facts:
    """What a phone is; details are what it says of itself, absent where it doesn't."""

    serial: str
    name: str
    api: int
    abis: tuple[str, ...]
    cores: tuple[int, ...]
    details: dict[str, str]


@dataclass(frozen=True)
class Reading:
    """How a phone is doing; None is what can't be read."""

    temperature_c: float | None
    skin_c: float | None
    thermal_status: int | None
    highest_mhz: float | None
    governors: str | None
    battery_percent: float | None
    plugged: bool | None
    awake: bool | None

    def hottest_c(self) -> float | None:
        """The temperature that limits are for: the battery's, or the skin's where only that is
        told."""
        return self.temperature_c if self.temperature_c is not None else self.skin_c

    def details(self, when: str) -> dict[str, str]:
        """Return what could be read, by name, for a device's description."""
        figures = {
            "temperature": _figure(self.temperature_c, "°C"),
            "skin temperature": _figure(self.skin_c, "°C"),
            "thermal status": _figure(self.thermal_status, ""),
            "battery": _figure(self.battery_percent, "%"),
            "plugged in": _yes_or_no(self.plugged),
            "screen on": _yes_or_no(self.awake),
            "governor": self.governors,
            "highest frequency": _figure(self.highest_mhz, "MHz"),
        }
        return {f"{name} {when}": text for name, text in figures.items() if text is not None}


def require_ready(adb: Adb) -> None:
    """Check that a phone answers.

    Raises:
        DeviceError: it doesn't.
    """
    state = adb.state()
    if state != "device":
        remedy = _STATES.get(state, "restart it as usual, not in recovery or sideload mode")
        raise DeviceError(f"the phone is {state}", remedy=remedy)


def read_facts(adb: Adb) -> Facts:
    """Return what a phone is.

    Raises:
        UserError: its Android is too old.
        DeviceError: it was lost, or doesn't say what it is.
    """
    properties = telemetry.parse_properties(adb.shell(["getprop"]).output)
    api = properties.get("ro.build.version.sdk", "")
    abis = properties.get("ro.product.cpu.abilist", "")
    if not (api.isascii() and api.isdecimal() and len(api) < 4 and abis):
        raise DeviceError(
            "getprop doesn't tell the phone's API level and ABI",
            remedy="restart the phone",
        )  # fmt: skip
    if int(api) < OLDEST_API:
        raise UserError(
            f"Android API level {api}, the oldest that works is {OLDEST_API} (Android 7)",
            where=f"adb:{adb.serial}",
        )
    cores = telemetry.parse_cores(adb.shell(["ls", "-1", _CPU]).output)
    name = " ".join(
        filter(None, map(properties.get, ("ro.product.manufacturer", "ro.product.model")))
    )
    return Facts(
        adb.serial, name or adb.serial, int(api), tuple(abis.split(",")), tuple(cores),
        _details(properties, cores),
    )  # fmt: skip


def _details(properties: dict[str, str], cores: list[int]) -> dict[str, str]:
    named = {
        "Android": "ro.build.version.release",
        "API level": "ro.build.version.sdk",
        "security patch": "ro.build.version.security_patch",
        "build": "ro.build.fingerprint",
        "SoC maker": "ro.soc.manufacturer",
        "SoC": "ro.soc.model",
        "board": "ro.board.platform",
        "ABIs": "ro.product.cpu.abilist",
    }
    found = {name: properties[key] for name, key in named.items() if key in properties}
    return found | ({"cores": str(len(cores))} if cores else {})


def read_now(adb: Adb, facts: Facts) -> Reading:
    """Return how a phone is doing: takes some tenths of a second.

    Raises:
        DeviceError: it was lost.
    """
    battery = telemetry.parse_battery(adb.shell(["dumpsys", "battery"]).output)
    thermal = telemetry.parse_thermal(adb.shell(["dumpsys", "thermalservice"]).output)
    files = _cpu_files(adb, facts.cores)
    governors = [value for path, value in files.items() if path.endswith("_governor")]
    limits = [value for path, value in files.items() if path.endswith("_max_freq")]
    return Reading(
        temperature_c=battery.temperature_c,
        skin_c=thermal.skin_c,
        thermal_status=thermal.status,
        # The limit, not the present frequency: between runs that one is the idle core's.
        highest_mhz=telemetry.highest_mhz(limits),
        governors=", ".join(dict.fromkeys(filter(None, governors))) or None,
        battery_percent=battery.percent,
        plugged=battery.plugged,
        awake=telemetry.parse_awake(adb.shell(["dumpsys", "power"]).output),
    )


def _cpu_files(adb: Adb, cores: tuple[int, ...]) -> dict[str, str]:
    names = ("scaling_governor", "scaling_max_freq")
    paths = [f"{_CPU}/cpu{core}/cpufreq/{name}" for core in cores for name in names]
    if not paths:
        return {}
    return telemetry.parse_files(adb.shell(["grep", "-s", "-H", "", *paths]).output)


def free_bytes(adb: Adb, folder: str) -> int | None:
    """Return the free space at a folder of the phone; None where it isn't told.

    Raises:
        DeviceError: the phone was lost.
    """
    return telemetry.parse_free_bytes(adb.shell(["df", "-k", folder]).output)


def recorded(reading: Reading, since: float) -> result.Reading:
    """Return a reading as a result has it; `since` is the measurement's start by the monotonic
    clock, in seconds."""
    return result.Reading(
        at_s=time.monotonic() - since,
        probe_us=None,
        frequency_mhz=reading.highest_mhz,
        temperature_c=reading.hottest_c(),
        throttle_events=None if reading.thermal_status is None else int(reading.thermal_status > 0),
        battery_percent=reading.battery_percent,
    )


def described(facts: Facts, before: Reading, after: Reading, more: dict[str, str]) -> DeviceInfo:
    """Return a phone as a result describes it."""
    details = facts.details | before.details("before") | after.details("after") | more
    return DeviceInfo(
        id=f"adb:{facts.serial}", kind="phone", name=facts.name, software=False, details=details
    )


def _figure(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:g} {unit}".strip()


def _yes_or_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
