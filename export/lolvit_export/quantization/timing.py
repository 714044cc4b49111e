"""The speedup of one session over another, both run in turn in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

_BURST = 5
_LEAST_ROUNDS, _MOST_ROUNDS = 8, 100


def speedup(
    run: Callable[[], object],
    baseline: Callable[[], object],
    *,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return the time of `baseline` over that of `run`, both of which compute with one thread.

    Rounds of one burst of each, in alternating order, until `seconds` of `clock` have passed.
    Processor time is measured: on a busy machine wall-clock time has interruptions in it. Another
    process on the same core only ever makes a run longer, so that the time of each is the first
    quartile of its runs.
    """
    for call in (run, baseline):
        _burst(call, clock)  # warm-up
    first: list[float] = []
    second: list[float] = []
    start = clock()
    while len(first) < _LEAST_ROUNDS * _BURST or (
        clock() - start < seconds and len(first) < _MOST_ROUNDS * _BURST
    ):
        calls = [(run, first), (baseline, second)]
        for call, times in calls if len(first) // _BURST % 2 else reversed(calls):
            call()  # brings back what the other has pushed out of the caches
            times += _burst(call, clock)
    return _first_quartile(second) / _first_quartile(first)


def _burst(run: Callable[[], object], clock: Callable[[], float]) -> list[float]:
    times = []
    for _ in range(_BURST):
        start = clock()
        run()
        times.append(clock() - start)
    return times


def _first_quartile(times: list[float]) -> float:
    return statistics.quantiles(times, n=4, method="inclusive")[0]
