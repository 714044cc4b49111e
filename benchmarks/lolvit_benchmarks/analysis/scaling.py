"""How a model's latency grows with its input, where one was measured at several sizes: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.grid import Grid
from lolvit_benchmarks.results.document import Result, Side

Setting = tuple[str, str, int]  # runtime, precision, threads


@dataclass(frozen=True)
class Growth:
    """One model in one setting: its sides by size, small first, and the exponent e of the power of
    the number of pixels that its median follows best: time ~ pixels ** e. Linear cost has e = 1."""

    model: str
    sides: tuple[Side, ...]
    exponent: float


def growths(results: Sequence[Result]) -> dict[Setting, list[Growth]]:
    """Return the growth of every model that was measured at several sizes, by setting."""
    found: dict[Setting, dict[str, dict[tuple[int, int], Side]]] = {}
    for result in results:
        models = found.setdefault((result.runtime, result.precision, result.threads), {})
        for side in (result.a, result.b):
            models.setdefault(side.model, {}).setdefault(side.size, side)
    grown = {
        setting: [_growth(name, sizes) for name, sizes in models.items() if len(sizes) > 1]
        for setting, models in found.items()
    }
    return {setting: group for setting, group in grown.items() if group}


def _growth(model: str, sizes: dict[tuple[int, int], Side]) -> Growth:
    sides = tuple(sorted(sizes.values(), key=pixels))
    exponent = stats.power([pixels(side) for side in sides], [side.median_ms for side in sides])
    return Growth(model, sides, exponent)


def pixels(side: Side) -> int:
    """Return the number of pixels of a side's input."""
    return side.size[0] * side.size[1]


def grids(results: Sequence[Result]) -> list[Grid]:
    """Return a table of medians over sizes for each setting with several sizes."""
    return [_grid(setting, group) for setting, group in growths(results).items()]


def _grid(setting: Setting, group: Sequence[Growth]) -> Grid:
    sizes = {side.size: side for growth in group for side in growth.sides}
    ordered = sorted(sizes.values(), key=pixels)
    rows = []
    for growth in group:
        medians = {side.size: words.milliseconds(side.median_ms) for side in growth.sides}
        cells = (medians.get(side.size, "–") for side in ordered)
        rows.append((growth.model, *cells, f"{growth.exponent:.2f}"))
    return Grid(
        title=f"Median milliseconds by input size, {words.where(*setting)}",
        headings=("model", *(words.size(side) for side in ordered), "exponent"),
        rows=tuple(rows),
        note="Exponent e: the time grows as the number of pixels to the power of e; 1 is linear.",
    )
