"""What the profilers of all runtimes share: how often a model is run, and whose a name is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from lolvit_benchmarks.profiling.onnx_layers import Layer

WARM_UP = 10  # inferences
_MS = 2000.0
_FEWEST, _MOST = 20, 400


def repeat(run: Callable[[], object]) -> list[float]:
    """Make `WARM_UP` inferences, then as many as take about two seconds, 20 to 400; return the
    milliseconds of all."""
    times = [_ms(run) for _ in range(WARM_UP)]
    each = sum(times) / WARM_UP
    return times + [_ms(run) for _ in range(min(_MOST, max(_FEWEST, round(_MS / each))))]


def _ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def values_of(layers: Iterable[Layer]) -> dict[str, Layer]:
    """Return layers by their names and by those of the values that they give."""
    return {name: layer for layer in layers for name in (layer.name, *layer.values)}


def named(name: str, by_value: dict[str, Layer]) -> Layer | None:
    """Return the layer whose name, or a value's, is the longest that `name` begins with; what
    follows it is a suffix of the runtime's."""
    for end in range(len(name), 0, -1):
        layer = by_value.get(name[:end])
        if layer is not None and (end == len(name) or name[end] in "_/"):
            return layer
    return None
