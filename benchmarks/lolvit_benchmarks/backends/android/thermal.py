"""Waiting until a phone is cool: a hot one slows itself down, and each run would be another's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lolvit.errors import DeviceError
from lolvit_benchmarks.backends.android.phone import Reading

LOOK_AGAIN_S = 5.0


@dataclass(frozen=True)
class Cooling:
    """The temperature in degrees Celsius above which nothing is measured, and how many seconds a
    phone is given to cool down: 0 refuses at once."""

    max_c: float = 37.0
    limit_s: float = 600.0


def wait_until_cool(
    read: Callable[[], Reading],
    cooling: Cooling,
    pause: Callable[[float], None],
    say: Callable[[str], None],
    where: str,
) -> Reading:
    """Return a reading at or below the limit, or one that tells no temperature.

    Raises:
        DeviceError: the phone is too hot, and stays so.
    """
    start, told = time.monotonic(), False
    while True:
        reading = read()
        celsius = reading.hottest_c()
        if celsius is None or celsius <= cooling.max_c:
            return reading
        waited = time.monotonic() - start
        if waited >= cooling.limit_s:
            raise _too_hot(celsius, cooling)
        if not told:
            say(f"{where}: {celsius:g} °C, waiting until it is at {cooling.max_c:g} °C")
            told = True
        pause(min(LOOK_AGAIN_S, cooling.limit_s - waited))


def _too_hot(celsius: float, cooling: Cooling) -> DeviceError:
    waited = f" after {cooling.limit_s:g} s" if cooling.limit_s else ""
    return DeviceError(
        f"the phone has {celsius:g} °C{waited}, over {cooling.max_c:g} °C",
        remedy="let it cool down without its case, or give --max-temperature or "
        "--cool-down-timeout",
    )
