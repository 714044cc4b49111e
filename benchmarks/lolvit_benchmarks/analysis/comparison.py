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
    have to be equal. `samples` are the candidate's milliseconds, `rounds` the round of each.
    """

    key: tuple[str, ...]
    place: str
    conditions: Mapping[str, object]
    samples: Sequence[float]
    rounds: Sequence[int]
    speedup: Interval
    stable: bool


@dataclass(frozen=True)
class Change:
    """A result of both runs. `old` and `new` are the metric: milliseconds, or a speedup. `change`
    is the share by which it got worse (less than 0: better), with the bounds of its 95 %
    interval."""

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
        metric: `latency` is the candidate's median; `speedup` the ratio to the baseline's, in which
            much of what differs between machines cancels.
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
        worse = stats.ratio_of_separate_medians(new.samples, new.rounds, old.samples, old.rounds)
        figures = (stats.median(old.samples), stats.median(new.samples))
    else:
        worse = stats.quotient(old.speedup, new.speedup)
        figures = (old.speedup.value, new.speedup.value)
    return Change(
        place=new.place,
        metric=metric,
        old=figures[0],
        new=figures[1],
        change=worse.value - 1,
        low=worse.low - 1,
        high=worse.high - 1,
        regressed=worse.value - 1 > threshold,
        stable=old.stable and new.stable,
    )
