"""Vendors' estimates as a table of their own, beside no measured figure: pure."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.grid import Grid
from lolvit_benchmarks.results.device import Estimate

NOTE = "Estimates are a vendor's tool's own guess: nothing was run, so there is no spread."


def grids(estimates: Sequence[Estimate]) -> list[Grid]:
    """Return a table with a row for each estimate, or none."""
    if not estimates:
        return []
    sources = dict.fromkeys(estimate.source for estimate in estimates)
    return [
        Grid(
            title="Estimated, not measured",
            headings=(
                "device", "precision", "model", "estimate ms", "against", "estimate ms", "ratio",
            ),
            rows=tuple(map(_row, estimates)),
            left=3,
            note=f"{NOTE} Source: {'; '.join(sources)}.",
        )
    ]  # fmt: skip


def _row(estimate: Estimate) -> tuple[str, ...]:
    a, b = estimate.a, estimate.b
    return (
        f"{estimate.device.id} ({estimate.device.name})",
        estimate.precision,
        a.model,
        words.milliseconds(a.ms),
        b.model,
        words.milliseconds(b.ms),
        words.times(estimate.ratio),
    )
