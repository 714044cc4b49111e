"""How often a model is run while it is profiled."""

from __future__ import annotations

import time
from collections.abc import Callable

WARM_UP = 10
_SECONDS = 2.0
_FEWEST, _MOST = 20, 400


def repeat(run: Callable[[], object]) -> int:
    """Make `WARM_UP` inferences, then as many as take about two seconds, 20 at least; return how
    many came first and do not count."""
    start = time.perf_counter()
    for _ in range(WARM_UP):
        run()
    each = (time.perf_counter() - start) / WARM_UP
    for _ in range(min(_MOST, max(_FEWEST, round(_SECONDS / each)))):
        run()
    return WARM_UP
