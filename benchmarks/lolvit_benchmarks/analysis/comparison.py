"""Two result documents against each other: has a model become slower? Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lolvit.errors import UserError
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.results.document import Document, Result

Metric = Literal["latency", "speedup"]
Key = tuple[str, ...]
Found = tuple[Document, Result]

# What has to be alike for a difference in time to be the model's own.
CONDITIONS: dict[str, Callable[[Document, Result], object]] = {
    "device": lambda document, _: document.environment.device,
    "cpu": lambda document, _: document.environment.cpu,
    "architecture": lambda document, _: document.environment.architecture,
    "cores": lambda document, _: document.environment.cores,
    "governor": lambda document, _: document.environment.governor,
    "mains": lambda document, _: document.environment.on_mains,
    "runtime-version": lambda _, result: result.runtime_version,
    "pinning": lambda _, result: len(result.pinned_cores or ()),
}


@dataclass(frozen=True)
class Change:
    """A result of both documents. `change` is the share by which the metric got worse (less than 0:
    better), with the bounds of its 95 % interval."""

    place: str
    metric: Metric
    old: float
    new: float
    change: float
    low: float
    high: float
    regressed: bool
    stable: bool


@dataclass(frozen=True)
class Comparison:
    """What changed, and what only one of the documents has."""

    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]


def compare(
    old: Document,
    new: Document,
    *,
    threshold: float,
    metric: Metric = "latency",
    ignore: Sequence[str] = (),
) -> Comparison:
    """Compare the results that both documents have, by runtime, precision, threads, models and
    size.

    Args:
        threshold: the share of the old figure by which the new one may be worse.
        metric: `latency` is model a's median; `speedup` the ratio against b, in which much of what
            differs between machines cancels.
        ignore: conditions that may differ.

    Raises:
        UserError: no result is in both, or they were measured under unlike conditions.
    """
    before, after = _by_key(old), _by_key(new)
    both = [key for key in before if key in after]
    if not both:
        raise UserError(
            "the two files have no result in common",
            remedy="compare the same models, sizes, runtimes, precision and threads",
        )
    for key in both:
        _refuse_unlike(before[key], after[key], ignore)
    return Comparison(
        changes=tuple(_change(before[key][1], after[key][1], threshold, metric) for key in both),
        only_old=tuple(words.place(found[1]) for k, found in before.items() if k not in after),
        only_new=tuple(words.place(found[1]) for k, found in after.items() if k not in before),
    )


def _by_key(document: Document) -> dict[Key, Found]:
    return {
        (
            r.runtime, r.device, r.precision, str(r.threads),
            r.a.model, words.size(r.a), r.b.model, words.size(r.b),
        ): (document, r)
        for r in document.results
    }  # fmt: skip


def _refuse_unlike(before: Found, after: Found, ignore: Sequence[str]) -> None:
    unlike = [
        f"{name} ({condition(*before)} and {condition(*after)})"
        for name, condition in CONDITIONS.items()
        if name not in ignore and condition(*before) != condition(*after)
    ]
    if unlike:
        raise UserError(
            f"measured under unlike conditions: {', '.join(unlike)}",
            where=words.place(before[1]),
            remedy="measure both alike, or name what may differ with --ignore",
        )


def _change(old: Result, new: Result, threshold: float, metric: Metric) -> Change:
    worse = _latency(old, new) if metric == "latency" else _speedup(old, new)
    figures = (old.a.median_ms, new.a.median_ms)
    if metric == "speedup":
        figures = (old.speedup.ratio, new.speedup.ratio)
    return Change(
        place=words.place(new),
        metric=metric,
        old=figures[0],
        new=figures[1],
        change=worse.value - 1,
        low=worse.low - 1,
        high=worse.high - 1,
        regressed=worse.value - 1 > threshold,
        stable="UNSTABLE" not in (old.verdict.state, new.verdict.state),
    )


def _latency(old: Result, new: Result) -> stats.Interval:
    return stats.ratio_of_separate_medians(
        new.a.samples, new.a.sample_round, old.a.samples, old.a.sample_round
    )


def _speedup(old: Result, new: Result) -> stats.Interval:
    """Return old speedup / new speedup; the bounds combine those of the two as independent."""
    was, now = old.speedup, new.speedup
    return stats.quotient(
        stats.Interval(was.ratio, was.low, was.high), stats.Interval(now.ratio, now.low, now.high)
    )
