"""Measured times beside counted accuracies: joined by the artifact's digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lolvit.accuracy import AccuracyDocument
from lolvit_benchmarks.reporting.grid import Grid
from lolvit_benchmarks.results.document import Result, Side


@dataclass(frozen=True)
class Point:
    """One artifact in one runtime: median milliseconds, and the share of images that it found."""

    model: str
    runtime: str
    precision: str
    ms: float
    top1: float
    images: int
    data: str


def points(results: Sequence[Result], counted: Sequence[AccuracyDocument]) -> list[Point]:
    """Return each measured artifact that was counted too; the accuracy of the same runtime where
    it was counted in it, else that of the file in another one."""
    found = {}
    for result in results:
        for side in (result.a, result.b):
            point = _point(side, result.runtime, counted)
            if point is not None:
                found[side.artifact_sha256, result.runtime] = point
    return sorted(found.values(), key=lambda p: p.model != results[0].a.model)


def _point(side: Side, runtime: str, counted: Sequence[AccuracyDocument]) -> Point | None:
    fitting = [
        (document.data, entry)
        for document in counted
        for entry in document.results
        if entry.sha256 == side.artifact_sha256
    ]
    fitting.sort(key=lambda pair: pair[1].runtime != runtime)
    if not fitting:
        return None
    data, entry = fitting[0]
    score = entry.metrics
    return Point(
        side.model, runtime, entry.precision, side.median_ms, score.top1, score.images, data
    )


def grid(found: Sequence[Point]) -> Grid:
    """Return the points as a table."""
    return Grid(
        title="Accuracy and latency",
        headings=("model", "runtime", "precision", "median, ms", "top-1", "images", "data"),
        rows=tuple(
            (p.model, p.runtime, p.precision, f"{p.ms:.2f}", f"{p.top1:.2%}", f"{p.images}", p.data)
            for p in found
        ),
        left=3,
        note="",
    )
