"""Two runs of `lolvit bench` against each other: has a model become slower? Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lolvit.errors import UserError
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.analysis.statistics import Interval

Metric = Literal["latency", "speedup"]


@dataclass(frozen=True)
class Measurement:
    """One result of a run, as far as it is compared.

    Two results with the same `key` measure the same models in the same configuration; `place`
    describes that in words. For a difference to be the model's own, the values of `conditions`
    have to be equal. `samples` are the candidate's milliseconds, `blocks` and `rounds` the block
    and the round of each.
    """

    key: tuple[str, ...]
    place: str
    conditions: Mapping[str, object]
    samples: Sequence[float]
    blocks: Sequence[int]
    rounds: Sequence[int]
    speedup: Interval
    valid: bool


@dataclass(frozen=True)
class Change:
    """A result of both runs. `old` and `new` are the metric: milliseconds, or a speedup. `change`
    is the share by which it got worse (less than 0: better), with the bounds of its 95 % interval;
    `regressed`: the whole interval is beyond the allowed change."""

    place: str
    metric: Metric
    old: float
    new: float
    change: float
    low: float
    high: float
    regressed: bool
    valid: bool


@dataclass(frozen=True)
class Comparison:
    """What changed, and the places of results that only one of the runs has."""

    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]


def compare(
    old: Sequence[Measurement],
    new: Sequence[Measurement],
    *,
    threshold: float,
    metric: Metric = "latency",
    ignore: Sequence[str] = (),
) -> Comparison:
    """Compare the results that both runs have.

    Args:
        threshold: the share of the old figure by which the new one may be worse.
        metric: `latency` is the candidate's, estimated over rounds as a speedup is; `speedup` the
            ratio to the baseline's, in which much of what differs between machines cancels.
        ignore: conditions that may differ.

    Raises:
        UserError: no result is in both, or they were measured under unlike conditions.
    """
    before, after = ({one.key: one for one in run} for run in (old, new))
    both = [key for key in before if key in after]
    if not both:
        raise UserError(
            "the two files have no result in common",
            remedy="compare the same models, sizes, runtimes, precision and threads",
        )
    for key in both:
        _require_like_conditions(before[key], after[key], ignore)
    return Comparison(
        changes=tuple(_change(before[key], after[key], threshold, metric) for key in both),
        only_old=tuple(one.place for key, one in before.items() if key not in after),
        only_new=tuple(one.place for key, one in after.items() if key not in before),
    )


def _require_like_conditions(
    before: Measurement, after: Measurement, ignore: Sequence[str]
) -> None:
    unlike = [
        f"{name} ({value} and {after.conditions[name]})"
        for name, value in before.conditions.items()
        if name not in ignore and value != after.conditions[name]
    ]
    if unlike:
        raise UserError(
            f"measured under unlike conditions: {', '.join(unlike)}",
            where=before.place,
            remedy="measure both alike, or name what may differ with --ignore",
        )


def _change(old: Measurement, new: Measurement, threshold: float, metric: Metric) -> Change:
    if metric == "latency":
        before, after = _latency(old), _latency(new)
        worse = stats.quotient(after, before)
    else:
        before, after = old.speedup, new.speedup
        worse = stats.quotient(before, after)
    return Change(
        place=new.place,
        metric=metric,
        old=before.value,
        new=after.value,
        change=worse.value - 1,
        low=worse.low - 1,
        high=worse.high - 1,
        regressed=worse.low - 1 > threshold,
        valid=old.valid and new.valid,
    )


def _latency(one: Measurement) -> Interval:
    try:
        return stats.latency_over_rounds(one.samples, one.blocks, one.rounds).interval
    except ValueError as error:
        raise UserError(
            f"its samples allow no estimate: {error}", where=one.place, remedy="measure again"
        ) from error
