"""A model run back to back for minutes: how far it slows down once the burst is over.

The pairing of the measurement proper is of no use here: two models that take turns would share one
temperature. Each model runs alone, after a rest.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Clock = Callable[[], int]  # in nanoseconds

REST_S = 5.0
POINTS = 60  # of a curve, at most
SHORTEST_POINT_S = 0.25
BURST_SHARE, PLATEAU_SHARE = 0.1, 0.3  # of the time, at its start and at its end


@dataclass(frozen=True)
class Curve:
    """The median latency of each stretch of time, by the second at which the stretch began; burst
    and plateau are the medians of the runs in the first tenth and in the last three tenths."""

    seconds: float
    at_s: tuple[float, ...]
    median_ms: tuple[float, ...]
    burst_ms: float
    plateau_ms: float


def sustain(
    run: Callable[[], object],
    seconds: float,
    *,
    rest: Callable[[float], None] = time.sleep,
    clock: Clock = time.perf_counter_ns,
) -> Curve:
    """Rest, run for `seconds` without a pause, and return the curve."""
    rest(min(REST_S, seconds))
    marks = [clock()]
    end = marks[0] + round(seconds * 1e9)
    while marks[-1] < end or len(marks) < 2:
        run()
        marks.append(clock())
    starts = [(mark - marks[0]) / 1e9 for mark in marks[:-1]]
    durations = [(after - before) / 1e6 for before, after in itertools.pairwise(marks)]
    return curve(starts, durations)


def curve(starts_s: Sequence[float], durations_ms: Sequence[float]) -> Curve:
    """Return the curve of runs that began at these seconds and took these milliseconds.

    Raises:
        ValueError: no runs, or as many starts as durations are not given.
    """
    if not starts_s or len(starts_s) != len(durations_ms):
        raise ValueError(f"{len(starts_s)} starts and {len(durations_ms)} durations")
    seconds = starts_s[-1] + durations_ms[-1] / 1e3
    step = max(SHORTEST_POINT_S, seconds / POINTS)
    stretches: dict[int, list[float]] = {}
    for start, duration in zip(starts_s, durations_ms, strict=True):
        stretches.setdefault(int(start / step), []).append(duration)
    return Curve(
        seconds=seconds,
        at_s=tuple(number * step for number in stretches),
        median_ms=tuple(statistics.median(runs) for runs in stretches.values()),
        burst_ms=_median_between(starts_s, durations_ms, 0.0, BURST_SHARE * seconds),
        plateau_ms=_median_between(
            starts_s, durations_ms, (1 - PLATEAU_SHARE) * seconds, float("inf")
        ),
    )


def _median_between(
    starts_s: Sequence[float], durations_ms: Sequence[float], low: float, high: float
) -> float:
    """Return the median of the runs that began in an interval, or of the run nearest to it."""
    inside = [d for s, d in zip(starts_s, durations_ms, strict=True) if low <= s < high]
    return statistics.median(inside or [durations_ms[0 if low == 0 else -1]])
