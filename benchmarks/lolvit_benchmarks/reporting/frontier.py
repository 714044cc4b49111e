"""Accuracy over latency of models that were trained with the same recipe (`lolvit accuracy`) and
measured (`lolvit bench`), and which of them no other model beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from lolvit.accuracy import AccuracyDocument, ComparisonDocument, TrainedAccuracy
from lolvit.manifest import FLOAT_PRECISIONS
from lolvit.student_t import Z_975
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.analysis.statistics import Interval
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.grids import evaluation
from lolvit_benchmarks.reporting.text import HOST, Grid
from lolvit_benchmarks.results.document import ModelResult, Result


@dataclass(frozen=True)
class FrontierPoint:
    """A model in a runtime: milliseconds and top-1 (0 to 1), each with its 95 % interval, as far as
    that is known, and whether no other model of the runtime is as fast and as accurate."""

    model: str
    runtime: str
    ms: Interval
    top1: Interval
    on_frontier: bool = False

    def beats(self, other: Self) -> bool:
        """Whether the other model is slower or less accurate, and better in nothing."""
        if (self.ms.value, self.top1.value) == (other.ms.value, other.top1.value):
            return False
        return self.ms.value <= other.ms.value and self.top1.value >= other.top1.value


@dataclass(frozen=True)
class Frontier:
    """The points of one plot: all runtimes of a device with one precision and number of threads, on
    one data set; `where` says so."""

    where: str
    points: tuple[FrontierPoint, ...]

    def runtimes(self) -> tuple[str, ...]:
        """Return the runtimes, each once."""
        return tuple(dict.fromkeys(point.runtime for point in self.points))

    def models(self) -> tuple[str, ...]:
        """Return the models, each once, by their smallest latency."""
        ordered = sorted(self.points, key=lambda point: point.ms.value)
        return tuple(dict.fromkeys(point.model for point in ordered))

    def line(self, runtime: str) -> list[FrontierPoint]:
        """Return a runtime's points on the frontier, the fastest first."""
        found = [p for p in self.points if p.runtime == runtime and p.on_frontier]
        return sorted(found, key=lambda point: point.ms.value)


def frontiers(
    results: Sequence[Result],
    compared: Sequence[ComparisonDocument],
    evaluated: Sequence[AccuracyDocument] = (),
) -> tuple[list[Frontier], list[str]]:
    """Return a plot for each configuration and data set with at least two models of which both
    figures are known, and a note on each model that was left out. Quantized artifacts are in it
    where they were `evaluated`."""
    rows = [row for document in compared for row in document.rows]
    groups: dict[str, dict[tuple[str, str], FrontierPoint]] = {}
    notes: dict[str, None] = {}
    for result in results:
        for one in result.models:
            for row in rows:
                if row.model.removeprefix("timm/") != one.model:
                    continue
                if row.size is not None and row.size != one.size:
                    notes[_other_size(row, one)] = None
                    continue
                precision = one.precision or result.precision
                top1 = _top1(row)
                if precision not in FLOAT_PRECISIONS:
                    change = _change(one, result.runtime, row, evaluated)
                    if change is None:
                        notes[_not_evaluated(one.model, precision)] = None
                        continue
                    top1 = _changed(top1, change)
                group = groups.setdefault(_where(result, one, row), {})
                point = FrontierPoint(words.named(result, one), result.runtime, _latency(one), top1)
                group.setdefault((point.model, point.runtime), point)
    found = [
        Frontier(where, _marked(list(points.values())))
        for where, points in groups.items()
        if len({point.model for point in points.values()}) > 1
    ]
    return found, list(notes)


def _where(result: Result, one: ModelResult, row: TrainedAccuracy) -> str:
    device = "" if result.device == HOST else f"{result.device}, "
    return (
        f"{row.data}, {words.size(one)}, {device}{result.precision},"
        f" {words.threads(result.threads)}"
    )


def _change(
    one: ModelResult, runtime: str, row: TrainedAccuracy, evaluated: Sequence[AccuracyDocument]
) -> Interval | None:
    """Return what quantization changed of the top-1 of the network that was exported: the
    artifact's less that of eager PyTorch on the same images, with an interval that is too wide
    rather than too narrow. None: not evaluated on the data set of `row`.

    An image counts for or against the artifact only if its top class is another one than eager's,
    so that the difference of one image has a variance of at most the share of such images.
    """
    found = evaluation(one, runtime, [each for each in evaluated if each.data == row.data])
    if found is None:
        return None
    document, artifact = found
    eager = next((each for each in document.results if each.runtime == "eager"), None)
    if eager is None or artifact.agreement is None:
        return None
    change = artifact.metrics.top1 - eager.metrics.top1
    half = Z_975 * math.sqrt((1 - artifact.agreement) / artifact.metrics.images)
    return Interval(change, change - half, change + half)


def _changed(top1: Interval, change: Interval) -> Interval:
    """Return the sum of two independent figures: the squares of the half widths add up."""
    below = math.hypot(top1.value - top1.low, change.value - change.low)
    above = math.hypot(top1.high - top1.value, change.high - change.value)
    value = top1.value + change.value
    return Interval(value, value - below, value + above)


def _not_evaluated(model: str, precision: str) -> str:
    return (
        f"{model} in {precision} is not in a plot: lolvit accuracy has the accuracy of eager"
        " PyTorch; give the output of lolvit evaluate --json of its folder too"
    )


def _other_size(row: TrainedAccuracy, one: ModelResult) -> str:
    assert row.size is not None
    height, width = row.size
    return (
        f"{one.model} was measured at {words.size(one)} and trained on {row.data} at"
        f" {height}x{width}: not in one plot"
    )


def _latency(one: ModelResult) -> Interval:
    """Return the latency with its interval; the median alone of samples without rounds of two
    slots, as documents of schema version 1 may have."""
    try:
        return stats.latency_over_rounds(one.samples, one.sample_block, one.sample_round).interval
    except ValueError:
        return Interval(one.median_ms, one.median_ms, one.median_ms)


def _top1(row: TrainedAccuracy) -> Interval:
    low, high = (row.mean if bound is None else bound for bound in (row.low, row.high))
    return Interval(row.mean, low, high)


def _marked(points: Sequence[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    return tuple(
        replace(
            point,
            on_frontier=not any(
                other.runtime == point.runtime and other.beats(point) for other in points
            ),
        )
        for point in points
    )


def tables(found: Sequence[Frontier]) -> list[Grid]:
    """Return a table for each plot."""
    return [
        Grid(
            title=f"Accuracy over latency, {frontier.where}",
            headings=("model", "runtime", "ms", "95 % interval", "top-1", "95 % interval",
                      "on the frontier"),
            rows=tuple(map(_row, frontier.points)),
            left=2,
            note="On the frontier: no other model in the runtime is as fast and as accurate, by "
                 "the figures themselves. Where intervals overlap, another measurement may differ.",
        )
        for frontier in found
    ]  # fmt: skip


def _row(point: FrontierPoint) -> tuple[str, ...]:
    ms, top1 = point.ms, point.top1
    known = "–" if top1.low == top1.high else f"{top1.low:.1%} to {top1.high:.1%}"
    return (
        point.model,
        words.runtime_name(point.runtime),
        words.milliseconds(ms.value),
        f"{ms.low:.3g} to {ms.high:.3g}",
        f"{top1.value:.1%}",
        known,
        "yes" if point.on_frontier else "no",
    )
