"""What a phone prints about itself, as figures: pure.

Phones differ and makers change formats, so nothing here raises: what can't be read, or can't be
true, is None or absent, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PROPERTY = re.compile(r"^\[([^\]\n]+)\]: \[(.*)\]\r?$", re.MULTILINE)
_FIELD = re.compile(r"^[ \t]*([A-Za-z][A-Za-z ]*): ?(\S+)[ \t\r]*$", re.MULTILINE)
_THERMAL_STATUS = re.compile(r"Thermal Status: (\d{1,2})\b")
_TEMPERATURE = re.compile(r"Temperature\{mValue=(-?\d{1,4}(?:\.\d+)?), mType=3, ")
_WAKEFULNESS = re.compile(r"mWakefulness=(Awake|Asleep|Dozing|Dreaming)\b")
_SPACE = re.compile(r"\s(\d{1,15})\s+(\d{1,15})\s+(\d{1,15})\s+\d{1,3}%\s")
_DIGEST = re.compile(r"^\\?([0-9a-f]{64})[ *]+(\S.*?)\r?$", re.MULTILINE)
_CREDIBLE_C = (-30.0, 120.0)
_CREDIBLE_MHZ = (10.0, 10_000.0)
_PLUGS = ("AC powered", "USB powered", "Wireless powered", "Dock powered")


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
    """Return what `getprop` lists; empty properties are absent."""
    return {name: value.strip() for name, value in _PROPERTY.findall(text) if value.strip()}


def parse_battery(text: str) -> Battery:
    """Return what `dumpsys battery` says; it gives tenths of a degree."""
    fields = {name.strip(): value for name, value in _FIELD.findall(text)}
    level, scale = _whole(fields.get("level")), _whole(fields.get("scale"))
    tenths = _whole(fields.get("temperature"))
    plugs = [fields[name] for name in _PLUGS if fields.get(name) in ("true", "false")]
    percent = 100 * level / scale if level is not None and scale else None
    return Battery(
        percent=percent if percent is not None and 0 <= percent <= 100 else None,
        temperature_c=_within(tenths / 10 if tenths is not None else None, _CREDIBLE_C),
        plugged="true" in plugs if plugs else None,
    )


def parse_thermal(text: str) -> Thermal:
    """Return what `dumpsys thermalservice` says (Android 10 and newer). Of the sensors, those that
    the hardware gives now count; cached ones may be old."""
    status = _THERMAL_STATUS.search(text)
    value = int(status[1]) if status else None
    _, _, current = text.partition("Current temperatures from HAL:")
    current = current.partition("Current cooling devices")[0]
    skin = [float(found) for found in _TEMPERATURE.findall(current)]
    credible = [c for c in skin if _within(c, _CREDIBLE_C) is not None]
    return Thermal(
        status=value if value is not None and value <= 6 else None,
        skin_c=max(credible) if credible else None,
    )


def parse_awake(text: str) -> bool | None:
    """Return whether the screen is on, by `dumpsys power`."""
    found = _WAKEFULNESS.search(text)
    return found[1] == "Awake" if found else None


def parse_free_bytes(text: str) -> int | None:
    """Return the free bytes that `df -k` tells of one place."""
    found = _SPACE.search(" ".join(text.split()) + " ")
    return int(found[3]) * 1024 if found else None


def parse_digests(text: str) -> dict[str, str]:
    """Return path and digest of each file that `sha256sum` lists."""
    return {path: digest for digest, path in _DIGEST.findall(text)}


def parse_cores(text: str) -> list[int]:
    """Return the processor's cores, by the names in /sys/devices/system/cpu."""
    return sorted({int(number) for number in re.findall(r"^cpu(\d{1,3})\r?$", text, re.MULTILINE)})


def parse_files(text: str) -> dict[str, str]:
    """Return path and first line of each file that `grep -H ""` printed, for paths without a
    colon."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        path, colon, value = line.partition(":")
        if colon and path.startswith("/"):
            found.setdefault(path, value.strip())
    return found


def highest_mhz(khz: Iterable[str]) -> float | None:
    """Return the highest of frequencies in kHz, in MHz."""
    mhz = [number / 1000 for text in khz if (number := _whole(text)) is not None]
    credible = [value for value in mhz if _within(value, _CREDIBLE_MHZ) is not None]
    return max(credible) if credible else None


def _whole(text: str | None) -> int | None:
    """Return a whole number of at most nine ASCII digits."""
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _within(value: float | None, bounds: tuple[float, float]) -> float | None:
    return value if value is not None and bounds[0] <= value <= bounds[1] else None
