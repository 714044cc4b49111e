"""Tables over several results: models among peers, growth with the input's size, sustained runs,
vendors' estimates, operation profiles, and accuracy beside latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lolvit.accuracy import AccuracyDocument, EvaluationResult
from lolvit.text import or_dash
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.text import Grid
from lolvit_benchmarks.results.document import (
    Estimate,
    KindTime,
    ModelResult,
    OperationProfile,
    Result,
    Roofline,
)

Key = tuple[str, str, int]  # runtime, precision, threads

_MUCH_LONGER = 1.3  # than the median of the runs that were timed
_DISTURBED = (
    " That is much longer than when it was timed: the machine was busy while profiling, or the "
    "operations are so short that the profiler is most of their time."
)
_KINDS_SHOWN = 12  # of operations; the JSON document has all


def key_of(result: Result) -> Key:
    """Return the runtime, precision and number of threads of a result."""
    return result.runtime, result.precision, result.threads


# One model among several others.


def peer_groups(results: Sequence[Result]) -> list[list[Result]]:
    """Return the results that belong in one table: of one candidate at one size, where it was
    measured against more than one baseline."""
    found: dict[tuple[str, tuple[int, int]], list[Result]] = {}
    for result in results:
        found.setdefault((result.candidate.model, result.candidate.size), []).append(result)
    return [group for group in found.values() if len({r.baseline.model for r in group}) > 1]


def peers(results: Sequence[Result]) -> list[Grid]:
    """Return a table for each group: a row a model, by parameters, and for each configuration the
    median and the candidate's speedup."""
    return [_peers(group) for group in peer_groups(results)]


def _peers(group: Sequence[Result]) -> Grid:
    candidate = group[0].candidate
    keys = list(dict.fromkeys(map(key_of, group)))
    models = {one.model: one for result in group for one in result.models}
    columns = [_peer_column(group, key) for key in keys]
    return Grid(
        title=f"{candidate.model} among {len(models) - 1} others",
        headings=(
            "model", "input", "parameters", "multiply-adds",
            *(part for key in keys for part in (f"{words.where(*key)}: ms",
                                                f"speedup of {candidate.model}")),
        ),
        rows=tuple(
            (
                one.model,
                words.size(one),
                f"{one.params / 1e6:.2f} M",
                f"{one.macs / 1e6:,.0f} M",
                *(part for column in columns for part in column.get(one.model, ("–", "–"))),
            )
            for one in sorted(models.values(), key=lambda one: one.params)
        ),
        left=2,
        note="Speedup: of the candidate over the row's model; * marks an INVALID result.",
    )  # fmt: skip


def _peer_column(group: Sequence[Result], key: Key) -> dict[str, tuple[str, str]]:
    """Return each model's median and the candidate's speedup over it in one configuration."""
    column: dict[str, tuple[str, str]] = {}
    for result in group:
        if key_of(result) != key:
            continue
        mark = "" if words.valid(result) else "*"
        column[result.candidate.model] = (words.milliseconds(result.candidate.median_ms), "")
        column[result.baseline.model] = (
            words.milliseconds(result.baseline.median_ms),
            f"{words.factor(result.speedup.ratio)}{mark}",
        )
    return column


# Latency over the input's size.


@dataclass(frozen=True)
class Growth:
    """One model in one configuration: its results by size, small first, and the exponent e of the
    power law time ~ pixels ** e that fits its medians best. Linear cost has e = 1."""

    model: str
    results: tuple[ModelResult, ...]
    exponent: float


def growths(results: Sequence[Result]) -> dict[Key, list[Growth]]:
    """Return the growth of every model that was measured at several sizes, by configuration."""
    found: dict[Key, dict[str, dict[tuple[int, int], ModelResult]]] = {}
    for result in results:
        models = found.setdefault(key_of(result), {})
        for one in result.models:
            models.setdefault(one.model, {}).setdefault(one.size, one)
    grown = {
        key: [_growth(name, sizes) for name, sizes in models.items() if len(sizes) > 1]
        for key, models in found.items()
    }
    return {key: group for key, group in grown.items() if group}


def _growth(model: str, sizes: dict[tuple[int, int], ModelResult]) -> Growth:
    ordered = tuple(sorted(sizes.values(), key=pixels))
    exponent = stats.power([pixels(one) for one in ordered], [one.median_ms for one in ordered])
    return Growth(model, ordered, exponent)


def pixels(one: ModelResult) -> int:
    """Return the number of pixels of a model's input."""
    return one.size[0] * one.size[1]


def sizes(results: Sequence[Result]) -> list[Grid]:
    """Return a table of medians over sizes for each configuration with several sizes."""
    return [_sizes(key, group) for key, group in growths(results).items()]


def _sizes(key: Key, group: Sequence[Growth]) -> Grid:
    by_size = {one.size: one for growth in group for one in growth.results}
    ordered = sorted(by_size.values(), key=pixels)
    rows = []
    for growth in group:
        medians = {one.size: words.milliseconds(one.median_ms) for one in growth.results}
        columns = (medians.get(one.size, "–") for one in ordered)
        rows.append((growth.model, *columns, f"{growth.exponent:.2f}"))
    return Grid(
        title=f"Median milliseconds by input size, {words.where(*key)}",
        headings=("model", *(words.size(one) for one in ordered), "exponent"),
        rows=tuple(rows),
        note="Exponent e: the time grows as the number of pixels to the power of e; 1 is linear.",
    )


# Sustained runs.


def sustained(results: Sequence[Result]) -> list[Grid]:
    """Return a table of the models that were run without a pause, each once in a configuration, or
    none."""
    found: dict[tuple[str, str], ModelResult] = {}
    for result in results:
        for one in result.models:
            if one.sustained is not None:
                found.setdefault((words.configuration(result), one.model), one)
    if not found:
        return []
    return [
        Grid(
            title="Without a pause",
            headings=("model", "where", "minutes", "burst ms", "plateau ms", "slower by"),
            rows=tuple(_sustained(where, one) for (where, _), one in found.items()),
            left=2,
            note="Burst: the first tenth of the time; plateau: the last three tenths.",
        )
    ]


def _sustained(where: str, one: ModelResult) -> tuple[str, ...]:
    curve = one.sustained
    assert curve is not None  # `sustained` passes no other
    return (
        one.model,
        where,
        f"{curve.seconds / 60:.1f}",
        words.milliseconds(curve.burst_ms),
        words.milliseconds(curve.plateau_ms),
        f"{curve.plateau_ms / curve.burst_ms - 1:+.1%}",
    )


# Vendors' estimates.


def estimates(found: Sequence[Estimate]) -> list[Grid]:
    """Return a table with a row for each estimate, or none."""
    if not found:
        return []
    sources = "; ".join(dict.fromkeys(estimate.source for estimate in found))
    return [
        Grid(
            title="Estimated, not measured",
            headings=("device", "precision", "candidate", "estimate ms", "baseline", "estimate ms",
                      "ratio"),
            rows=tuple(map(_estimate, found)),
            left=3,
            note="An estimate is computed by a vendor's tool: nothing was run, so there is no "
                 f"spread. Source: {sources}.",
        )
    ]  # fmt: skip


def _estimate(estimate: Estimate) -> tuple[str, ...]:
    candidate, baseline = estimate.candidate, estimate.baseline
    return (
        f"{estimate.device.id} ({estimate.device.name})",
        estimate.precision,
        candidate.model,
        words.milliseconds(candidate.ms),
        baseline.model,
        words.milliseconds(baseline.ms),
        words.factor(estimate.ratio),
    )


# Operation profiles.


def operations(results: Sequence[Result]) -> list[Grid]:
    """Return, for each model that was profiled, the time by stage and the time by operation; a
    model that several results of one configuration share, once."""
    found: dict[tuple[str, str], list[Grid]] = {}
    for result in results:
        for one in result.models:
            if one.operation_profile is not None and result.roofline is not None:
                where = words.configuration(result)
                found[one.model, where] = _operations(
                    one, one.operation_profile, result.roofline, where
                )
    return [grid for pair in found.values() for grid in pair]


def _operations(
    one: ModelResult, profile: OperationProfile, roofline: Roofline, where: str
) -> list[Grid]:
    return [
        Grid(
            title=f"{one.model} by stage, {where}",
            headings=("stage", "ms", "share", "M MAC", "GMAC/s"),
            rows=stage_rows(profile),
            note=profile_summary(one, profile, roofline),
        ),
        Grid(
            title=f"{one.model} by operation, {where}",
            headings=("operation", "calls", "ms", "share", "M MAC"),
            rows=kind_rows(profile),
        ),
    ]


def profile_summary(one: ModelResult, profile: OperationProfile, roofline: Roofline) -> str:
    """Return a profile in a few sentences."""
    ms = words.milliseconds
    loads = "; ".join(f"{load.what}: {load.gmacs_per_s:.0f}" for load in roofline.loads)
    return (
        f"{profile.macs / 1e6:.0f} M multiply-adds in {ms(one.median_ms)} ms are "
        f"{profile.gmacs_per_s:.0f} GMAC/s, {profile.roofline_share:.0%} of the roofline of "
        f"{roofline.gmacs_per_s:.0f} ({loads}). {profile.without_macs_share:.0%} of the time goes "
        f"to operations that are not multiply-adds. While profiled, a run took "
        f"{ms(profile.run_ms)} ms, of which {ms(profile.operations_ms)} in operations: shares are "
        f"of these.{_DISTURBED if profile.operations_ms > _MUCH_LONGER * one.median_ms else ''}"
    )


def stage_rows(profile: OperationProfile) -> tuple[tuple[str, ...], ...]:
    """Return a row for each stage of the model, in its order."""
    return tuple(
        (
            time.stage,
            f"{time.ms:.3f}",
            f"{time.share:.1%}",
            _millions(time.macs),
            or_dash(time.gmacs_per_s, "{:.1f}"),
        )
        for time in profile.stages
    )


def kind_rows(profile: OperationProfile) -> tuple[tuple[str, ...], ...]:
    """Return a row for each kind of operation, the longest first; one for all after the
    twelfth."""
    first, rest = list(profile.operations[:_KINDS_SHOWN]), profile.operations[_KINDS_SHOWN:]
    if len(rest) > 1:
        first.append(_sum(rest))
    else:
        first += rest
    return tuple(
        (time.kind, str(time.calls), f"{time.ms:.3f}", f"{time.share:.1%}", _millions(time.macs))
        for time in first
    )


def _sum(times: Sequence[KindTime]) -> KindTime:
    return KindTime(
        kind=f"{len(times)} other kinds",
        calls=sum(time.calls for time in times),
        ms=sum(time.ms for time in times),
        share=sum(time.share for time in times),
        macs=sum(time.macs for time in times),
    )


def _millions(macs: int) -> str:
    return f"{macs / 1e6:.1f}" if macs else "–"


# Accuracy beside latency.


@dataclass(frozen=True)
class Point:
    """One artifact in one runtime: its median in milliseconds, and its top-1 accuracy on `images`
    images of a data set."""

    model: str
    runtime: str
    precision: str
    ms: float
    top1: float
    images: int
    data: str


def accuracy_points(
    results: Sequence[Result], evaluated: Sequence[AccuracyDocument]
) -> list[Point]:
    """Return each measured artifact that was evaluated too, joined by the artifact's digest; with
    the accuracy in the same runtime where it was evaluated in it, else in another one."""
    found = {}
    for result in results:
        for one in result.models:
            point = _point(one, result.runtime, evaluated)
            if point is not None:
                found[one.artifact_sha256, result.runtime] = point
    return sorted(found.values(), key=lambda p: p.model != results[0].candidate.model)


def evaluation(
    one: ModelResult, runtime: str, evaluated: Sequence[AccuracyDocument]
) -> tuple[AccuracyDocument, EvaluationResult] | None:
    """Return the metrics of the artifact that was measured, and the document that has them: those
    in the same runtime where it was evaluated in it, else in another one; None where it was not
    evaluated."""
    found = [
        (document, entry)
        for document in evaluated
        for entry in document.results
        if entry.sha256 == one.artifact_sha256
    ]
    return min(found, key=lambda pair: pair[1].runtime != runtime, default=None)


def _point(one: ModelResult, runtime: str, evaluated: Sequence[AccuracyDocument]) -> Point | None:
    found = evaluation(one, runtime, evaluated)
    if found is None:
        return None
    document, entry = found
    score, precision = entry.metrics, entry.precision
    return Point(
        one.model, runtime, precision, one.median_ms, score.top1, score.images, document.data
    )


def accuracy(points: Sequence[Point]) -> Grid:
    """Return the points as a table."""
    return Grid(
        title="Accuracy and latency",
        headings=("model", "runtime", "precision", "median, ms", "top-1", "images", "data"),
        rows=tuple(
            (p.model, p.runtime, p.precision, f"{p.ms:.2f}", f"{p.top1:.2%}", f"{p.images}", p.data)
            for p in points
        ),
        left=3,
    )
