"""One model among several others, in one table: pure."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_benchmarks.analysis.scaling import Setting
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.grid import Grid
from lolvit_benchmarks.results.document import Result, Side

_HEADINGS = ("model", "input", "parameters", "multiply-adds")


def groups(results: Sequence[Result]) -> list[list[Result]]:
    """Return the results that belong in one table: of one model `a` at one size, where it was
    measured against more than one other."""
    found: dict[tuple[str, tuple[int, int]], list[Result]] = {}
    for result in results:
        found.setdefault((result.a.model, result.a.size), []).append(result)
    return [group for group in found.values() if len({r.b.model for r in group}) > 1]


def grids(results: Sequence[Result]) -> list[Grid]:
    """Return a table for each group: a row a model, by parameters, and for each setting the median
    and how many times as fast `a` is."""
    return [_grid(group) for group in groups(results)]


def _grid(group: Sequence[Result]) -> Grid:
    a = group[0].a
    settings = list(dict.fromkeys((r.runtime, r.precision, r.threads) for r in group))
    sides = {side.model: side for result in group for side in (result.a, result.b)}
    ordered = sorted(sides.values(), key=lambda side: side.params)
    columns = [_column(group, setting) for setting in settings]
    return Grid(
        title=f"{a.model} among {len(sides) - 1} others",
        headings=(*_HEADINGS, *(part for setting in settings for part in _pair(setting, a))),
        rows=tuple(
            (
                *_facts(side),
                *(part for column in columns for part in column.get(side.model, ("–", "–"))),
            )
            for side in ordered
        ),
        left=2,
        note="The ratio is the other model's median over this one's; * marks an UNSTABLE result.",
    )


def _pair(setting: Setting, a: Side) -> tuple[str, str]:
    return f"{words.where(*setting)}: ms", f"{a.model} is as fast"


def _facts(side: Side) -> tuple[str, ...]:
    return (
        side.model,
        words.size(side),
        f"{side.params / 1e6:.2f} M",
        f"{side.macs / 1e6:,.0f} M",
    )


def _column(group: Sequence[Result], setting: Setting) -> dict[str, tuple[str, str]]:
    """Return each model's median and ratio in one setting."""
    cells: dict[str, tuple[str, str]] = {}
    for result in group:
        if (result.runtime, result.precision, result.threads) != setting:
            continue
        mark = "*" if result.verdict.state == "UNSTABLE" else ""
        cells[result.a.model] = (words.milliseconds(result.a.median_ms), "")
        cells[result.b.model] = (
            words.milliseconds(result.b.median_ms),
            f"{words.times(result.speedup.ratio)}{mark}",
        )
    return cells
