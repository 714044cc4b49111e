"""A block in which the candidate is slower than the baseline by a known share: run as a module in
place of `lolvit_benchmarks.harness.processes`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import repeat

from lolvit_benchmarks.harness.processes import answer_request

SHARE = 0.03
_ITERATIONS = 1_000
_CALIBRATIONS = 50
_LEARNED = 0.05  # of what an iteration took: so that one interruption changes little
_MOST = 1.2  # times as long as expected counts, at most


def slowed(name: str, run: Callable[[], object]) -> Callable[[], object]:
    """Return what makes an inference and then, if it is the candidate's, computes for `SHARE` of
    the time that it took, inside the timed region. The baseline reads the clock as often.

    It counts iterations instead of reading the clock until the time is over: on virtual machines a
    reading may leave the guest, and slow the next inference down too. How long an iteration takes
    beside inferences, which is not what it takes in a loop of its own, is learned on the way.
    """
    share = SHARE if name == "candidate" else 0.0
    iteration_ns = _iteration_ns()

    def timed() -> None:
        nonlocal iteration_ns
        start = time.perf_counter_ns()
        run()
        ended = time.perf_counter_ns()
        iterations = int(share * (ended - start) / iteration_ns)
        _compute(iterations)
        found = (time.perf_counter_ns() - ended) / max(iterations, 1)
        if iterations:
            change = min(max(found / iteration_ns, 1 / _MOST), _MOST) - 1
            iteration_ns *= 1 + _LEARNED * change

    return timed


def _compute(iterations: int) -> None:
    # Not `range`: its first 257 numbers are kept by Python and cost less than the others, so that a
    # short loop would take a fifth less time than the calibration says.
    for _ in repeat(None, iterations):
        pass


def _iteration_ns() -> float:
    """Return how long an iteration takes, undisturbed."""
    times = []
    for _ in range(_CALIBRATIONS):
        start = time.perf_counter_ns()
        _compute(_ITERATIONS)
        times.append(time.perf_counter_ns() - start)
    return min(times) / _ITERATIONS


if __name__ == "__main__":
    sys.exit(answer_request(sys.argv[1:], slowed))
