"""A phone: its properties, its sensors as `dumpsys` and sysfs report them, and the thermal wait.

Vendors change formats, so no parser raises: what can't be parsed, or is implausible, is None or
absent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lolvit.errors import DeviceError, UserError, printable
from lolvit_benchmarks.backends.android.client import Adb
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo

MIN_API = 24  # Android 7: sha256sum, dumpsys and am as they are used here
POLL_INTERVAL_S = 5.0
_CPU = "/sys/devices/system/cpu"
_REMEDIES = {  # by the state that adb reports
    "unauthorized": "unlock the phone and allow USB debugging from this computer",
    "offline": "reconnect the cable",
    "not attached": "check the cable, and list the phones: lolvit devices",
}
_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*)\]\r?$", re.MULTILINE)
_FIELD = re.compile(r"^[ \t]*([A-Za-z][A-Za-z ]*): ?(\S+)[ \t\r]*$", re.MULTILINE)
_THERMAL_STATUS = re.compile(r"Thermal Status: (\d{1,2})\b")
_TEMPERATURE = re.compile(r"Temperature\{mValue=(-?\d{1,4}(?:\.\d+)?), mType=3, ")
_WAKEFULNESS = re.compile(r"mWakefulness=(Awake|Asleep|Dozing|Dreaming)\b")
_PLAUSIBLE_C = (-30.0, 120.0)
_PLAUSIBLE_MHZ = (10.0, 10_000.0)
_PLUGS = ("AC powered", "USB powered", "Wireless powered", "Dock powered")


@dataclass(frozen=True)
class PhoneInfo:
    """Identity and hardware of a phone. `details` has the properties that `getprop` reports,
    by their name in a result."""

    serial: str
    name: str
    api: int
    abis: tuple[str, ...]
    cores: tuple[int, ...]
    details: dict[str, str]


@dataclass(frozen=True)
class PhoneState:
    """Sensors and settings at one moment; None where the phone doesn't report a value."""

    temperature_c: float | None
    skin_c: float | None
    thermal_status: int | None
    highest_mhz: float | None
    governors: str | None
    battery_percent: float | None
    plugged: bool | None
    awake: bool | None

    def monitored_temperature_c(self) -> float | None:
        """The temperature to which limits apply: the battery's, or the skin's where only that is
        reported."""
        return self.temperature_c if self.temperature_c is not None else self.skin_c

    def details(self, when: str) -> dict[str, str]:
        """Return the reported values by name, each with `when` appended, for a result."""
        values = {
            "temperature": _quantity(self.temperature_c, "°C"),
            "skin temperature": _quantity(self.skin_c, "°C"),
            "thermal status": _quantity(self.thermal_status, ""),
            "battery": _quantity(self.battery_percent, "%"),
            "plugged in": _yes_or_no(self.plugged),
            "screen on": _yes_or_no(self.awake),
            "governor": self.governors,
            "highest frequency": _quantity(self.highest_mhz, "MHz"),
        }
        return {f"{name} {when}": text for name, text in values.items() if text is not None}


def require_ready(adb: Adb) -> None:
    """Check that a phone is connected and authorized.

    Raises:
        DeviceError: it is not.
    """
    state = adb.state()
    if state != "device":
        remedy = _REMEDIES.get(state, "restart it normally, not in recovery or sideload mode")
        raise DeviceError(f"the phone is {state}", remedy=remedy)


def read_info(adb: Adb) -> PhoneInfo:
    """Return a phone's identity and hardware.

    Raises:
        UserError: its Android version is too old.
        DeviceError: the connection was lost, or API level and ABI are not reported.
    """
    properties = parse_properties(adb.shell(["getprop"]).output)
    api = properties.get("ro.build.version.sdk", "")
    abis = properties.get("ro.product.cpu.abilist", "")
    if not (api.isascii() and api.isdecimal() and len(api) < 4 and abis):
        raise DeviceError(
            "getprop reports no API level or ABI",
            remedy="restart the phone",
        )  # fmt: skip
    if int(api) < MIN_API:
        raise UserError(
            f"Android API level {api} is too old: {MIN_API} (Android 7) or newer is needed",
            where=f"adb:{adb.serial}",
        )
    cores = parse_cores(adb.shell(["ls", "-1", _CPU]).output)
    name = " ".join(
        filter(None, map(properties.get, ("ro.product.manufacturer", "ro.product.model")))
    )
    return PhoneInfo(
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


def read_state(adb: Adb, info: PhoneInfo) -> PhoneState:
    """Read a phone's sensors and settings; takes some tenths of a second.

    Raises:
        DeviceError: the connection was lost.
    """
    battery = parse_battery(adb.shell(["dumpsys", "battery"]).output)
    thermal = parse_thermal(adb.shell(["dumpsys", "thermalservice"]).output)
    files = _cpu_files(adb, info.cores)
    governors = [value for path, value in files.items() if path.endswith("_governor")]
    limits = [value for path, value in files.items() if path.endswith("_max_freq")]
    return PhoneState(
        temperature_c=battery.temperature_c,
        skin_c=thermal.skin_c,
        thermal_status=thermal.status,
        # The limit, not the current frequency, which between runs is that of an idle core.
        highest_mhz=highest_mhz(limits),
        governors=", ".join(dict.fromkeys(filter(None, governors))) or None,
        battery_percent=battery.percent,
        plugged=battery.plugged,
        awake=parse_awake(adb.shell(["dumpsys", "power"]).output),
    )


def _cpu_files(adb: Adb, cores: tuple[int, ...]) -> dict[str, str]:
    names = ("scaling_governor", "scaling_max_freq")
    paths = [f"{_CPU}/cpu{core}/cpufreq/{name}" for core in cores for name in names]
    if not paths:
        return {}
    return parse_files(adb.shell(["grep", "-s", "-H", "", *paths]).output)


def result_reading(state: PhoneState, since: float) -> result.Reading:
    """Return a state as a reading of a result; `since` is the start of the measurement on the
    monotonic clock, in seconds."""
    return result.Reading(
        at_s=time.monotonic() - since,
        probe_us=None,
        frequency_mhz=state.highest_mhz,
        temperature_c=state.monitored_temperature_c(),
        throttle_events=None if state.thermal_status is None else int(state.thermal_status > 0),
        battery_percent=state.battery_percent,
    )


def device_info(
    info: PhoneInfo, before: PhoneState, after: PhoneState, more: dict[str, str]
) -> DeviceInfo:
    """Return the description of a phone in a result: states before and after the measurement, and
    `more` details."""
    details = info.details | before.details("before") | after.details("after") | more
    return DeviceInfo(
        id=f"adb:{info.serial}", kind="phone", name=info.name, software=False, details=details
    )


def _quantity(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:g} {unit}".strip()


def _yes_or_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


@dataclass(frozen=True)
class ThermalLimit:
    """The temperature in degrees Celsius above which nothing is measured, and the seconds to wait
    for the phone to cool down; 0 fails at once."""

    max_c: float = 37.0
    timeout_s: float = 600.0


def wait_until_cool(
    read: Callable[[], PhoneState],
    limit: ThermalLimit,
    pause: Callable[[float], None],
    say: Callable[[str], None],
    where: str,
) -> PhoneState:
    """Return the first state at or below the limit, or without a temperature.

    Raises:
        DeviceError: the phone is still too hot after the limit's timeout.
    """
    start, announced = time.monotonic(), False
    while True:
        state = read()
        celsius = state.monitored_temperature_c()
        if celsius is None or celsius <= limit.max_c:
            return state
        waited = time.monotonic() - start
        if waited >= limit.timeout_s:
            raise _too_hot_error(celsius, limit)
        if not announced:
            say(f"{where}: {celsius:g} °C, waiting until it is at most {limit.max_c:g} °C")
            announced = True
        pause(min(POLL_INTERVAL_S, limit.timeout_s - waited))


def _too_hot_error(celsius: float, limit: ThermalLimit) -> DeviceError:
    waited = f" after {limit.timeout_s:g} s" if limit.timeout_s else ""
    return DeviceError(
        f"the phone is at {celsius:g} °C{waited}, above the limit of {limit.max_c:g} °C",
        remedy="let it cool down without its case, or raise --max-temperature or "
        "--cool-down-timeout",
    )


@dataclass(frozen=True)
class Battery:
    """`dumpsys battery`; temperature in degrees Celsius, level in percent."""

    percent: float | None = None
    temperature_c: float | None = None
    plugged: bool | None = None


@dataclass(frozen=True)
class Thermal:
    """`dumpsys thermalservice`: Android's throttling status, 0 (none) to 6 (shutdown), and the
    hottest skin sensor in degrees Celsius."""

    status: int | None = None
    skin_c: float | None = None


def parse_properties(text: str) -> dict[str, str]:
    """Parse `getprop`; empty properties are absent, and control characters are escaped."""
    found = _PROPERTY.findall(text)
    return {name: printable(value.strip()) for name, value in found if value.strip()}


def parse_battery(text: str) -> Battery:
    """Parse `dumpsys battery`, which prints tenths of a degree."""
    fields = {name.strip(): value for name, value in _FIELD.findall(text)}
    level, scale = _parse_int(fields.get("level")), _parse_int(fields.get("scale"))
    tenths = _parse_int(fields.get("temperature"))
    plugs = [fields[name] for name in _PLUGS if fields.get(name) in ("true", "false")]
    percent = 100 * level / scale if level is not None and scale else None
    return Battery(
        percent=percent if percent is not None and 0 <= percent <= 100 else None,
        temperature_c=_in_range(tenths / 10 if tenths is not None else None, _PLAUSIBLE_C),
        plugged="true" in plugs if plugs else None,
    )


def parse_thermal(text: str) -> Thermal:
    """Parse `dumpsys thermalservice` (Android 10 and newer): the current temperatures from the HAL,
    not the cached ones."""
    status = _THERMAL_STATUS.search(text)
    value = int(status[1]) if status else None
    _, _, current = text.partition("Current temperatures from HAL:")
    current = current.partition("Current cooling devices")[0]
    skin = [float(found) for found in _TEMPERATURE.findall(current)]
    plausible = [c for c in skin if _in_range(c, _PLAUSIBLE_C) is not None]
    return Thermal(
        status=value if value is not None and value <= 6 else None,
        skin_c=max(plausible) if plausible else None,
    )


def parse_awake(text: str) -> bool | None:
    """Return whether the screen is on according to `dumpsys power`."""
    found = _WAKEFULNESS.search(text)
    return found[1] == "Awake" if found else None


def parse_cores(text: str) -> list[int]:
    """Return the numbers of the CPU cores from a listing of /sys/devices/system/cpu."""
    return sorted({int(number) for number in re.findall(r"^cpu(\d{1,3})\r?$", text, re.MULTILINE)})


def parse_files(text: str) -> dict[str, str]:
    """Return path and first line of each file that `grep -H ""` printed; paths hold no colon."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        path, colon, value = line.partition(":")
        if colon and path.startswith("/"):
            found.setdefault(path, value.strip())
    return found


def highest_mhz(khz: Iterable[str]) -> float | None:
    """Return the highest of some frequencies in kHz, in MHz."""
    mhz = [number / 1000 for text in khz if (number := _parse_int(text)) is not None]
    plausible = [value for value in mhz if _in_range(value, _PLAUSIBLE_MHZ) is not None]
    return max(plausible) if plausible else None


def _parse_int(text: str | None) -> int | None:
    """Return an integer of at most nine ASCII digits."""
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _in_range(value: float | None, bounds: tuple[float, float]) -> float | None:
    return value if value is not None and bounds[0] <= value <= bounds[1] else None
