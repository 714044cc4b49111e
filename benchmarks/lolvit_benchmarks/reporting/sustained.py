"""Burst against plateau, where models were run without a pause: pure."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.grid import Grid
from lolvit_benchmarks.results.document import Result, Side


def sides(results: Sequence[Result]) -> list[tuple[str, Side]]:
    """Return every side that was run without a pause, with where; each once."""
    found: dict[tuple[str, str], Side] = {}
    for result in results:
        for side in (result.a, result.b):
            if side.sustained is not None:
                found.setdefault((words.setting(result), side.model), side)
    return [(setting, side) for (setting, _), side in found.items()]


def grids(results: Sequence[Result]) -> list[Grid]:
    """Return a table with a row for each model and setting, or none."""
    rows = [_row(setting, side) for setting, side in sides(results)]
    if not rows:
        return []
    return [
        Grid(
            title="Without a pause",
            headings=("model", "where", "minutes", "burst ms", "plateau ms", "slower by"),
            rows=tuple(rows),
            left=2,
            note="Burst: the first tenth of the time; plateau: the last three tenths.",
        )
    ]


def _row(setting: str, side: Side) -> tuple[str, ...]:
    curve = side.sustained
    assert curve is not None  # `sides` gives no other
    return (
        side.model,
        setting,
        f"{curve.seconds / 60:.1f}",
        words.milliseconds(curve.burst_ms),
        words.milliseconds(curve.plateau_ms),
        f"{curve.plateau_ms / curve.burst_ms - 1:+.1%}",
    )
