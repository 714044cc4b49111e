"""How many times as fast one session is as another, both run in turn in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

_BURST = 5
_LEAST_ROUNDS, _MOST_ROUNDS = 8, 100


def times_as_fast(
    run: Callable[[], object],
    against: Callable[[], object],
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return the time of `against` over that of `run`, both of which compute with one thread.

    Rounds of one burst of each, in turns first, until `seconds` of `clock` have passed. It is
    processor time that counts: on a busy machine the clock on the wall tells who was interrupted.
    A neighbour on the same core only ever makes a run longer, so that a side's time is the slowest
    run of its quickest quarter.
    """
    for side in (run, against):
        _burst(side, clock)  # caches and clocks settle
    first: list[float] = []
    second: list[float] = []
    start = clock()
    while len(first) < _LEAST_ROUNDS * _BURST or (
        clock() - start < seconds and len(first) < _MOST_ROUNDS * _BURST
    ):
        sides = [(run, first), (against, second)]
        for side, times in sides if len(first) // _BURST % 2 else reversed(sides):
            side()  # brings back what the other side has pushed out of the caches
            times += _burst(side, clock)
    return _quick(second) / _quick(first)


def _burst(run: Callable[[], object], clock: Callable[[], float]) -> list[float]:
    times = []
    for _ in range(_BURST):
        start = clock()
        run()
        times.append(clock() - start)
    return times


def _quick(times: list[float]) -> float:
    return statistics.quantiles(times, n=4, method="inclusive")[0]
