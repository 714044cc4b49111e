"""A block in which the candidate is slower than the baseline by a known share: run as a module in
place of `lolvit_benchmarks.harness.processes`."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable

from lolvit_benchmarks.harness.processes import answer_request

SHARE = 0.03


def slowed(name: str, run: Callable[[], object]) -> Callable[[], object]:
    """Return what makes an inference and then, if it is the candidate's, waits, inside the timed
    region, for `SHARE` of the time that it took. The baseline reads the clock as often."""
    share = SHARE if name == "candidate" else 0.0
    # The wait ends on average half of a reading too late.
    late = _clock_ns() / 2 if share else 0.0

    def timed() -> None:
        start = time.perf_counter_ns()
        run()
        end = time.perf_counter_ns()
        until = end + share * (end - start) - late
        while time.perf_counter_ns() < until:
            pass

    return timed


def _clock_ns() -> float:
    """Return how long one reading of the clock takes."""
    marks = [time.perf_counter_ns() for _ in range(1001)]
    return statistics.median(after - before for before, after in itertools.pairwise(marks))


if __name__ == "__main__":
    sys.exit(answer_request(sys.argv[1:], slowed))
