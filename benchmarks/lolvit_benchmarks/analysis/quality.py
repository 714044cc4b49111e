"""Whether a comparison can be trusted, by stated limits, with every reason why not: pure
functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.analysis.statistics import Interval

State = Literal["STABLE", "UNSTABLE"]


@dataclass(frozen=True)
class Limits:
    """Beyond one of these a result is UNSTABLE. Shares are fractions of 1."""

    variation: float = 0.05
    between_block_range: float = 0.05
    min_samples: int = 30
    # Processor time of other processes, in cores: the larger of the two.
    others_cores: float = 0.25
    others_share_of_machine: float = 0.05
    stolen_share: float = 0.02
    speed_change: float = 0.05


DEFAULT_LIMITS = Limits()


def rule(limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the limits as a paragraph, for whoever reads a result."""
    return (
        "A result is UNSTABLE when, for either model, the coefficient of variation is over "
        f"{limits.variation:.0%} (without the slowest {stats.SLOWEST_SHARE:.0%} of the runs, which "
        "other processes interrupted; the figure over all runs stands beside it), or the medians "
        f"of the blocks differ by over {limits.between_block_range:.0%}, or there are fewer than "
        f"{limits.min_samples} runs; when other processes used over {limits.others_cores:.2f} "
        f"cores (or {limits.others_share_of_machine:.0%} of the machine, if that is more) "
        f"meanwhile; when the hypervisor took over {limits.stolen_share:.0%} of the processor "
        "time; when the processor's frequency, or its time for a fixed computation, "
        f"changed by over {limits.speed_change:.0%} between blocks; when it throttled for heat, or "
        "became hotter than it may; "
        "or when the measurement was interrupted. A winner is named only if the 95 % interval of "
        "the ratio excludes 1."
    )


@dataclass(frozen=True)
class Reason:
    """One thing that makes a result unstable: a code for programs and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Series:
    """The samples of one model, with the block of each."""

    name: str
    samples: Sequence[float]
    blocks: Sequence[int]


@dataclass(frozen=True)
class Conditions:
    """What the machine did while measuring; None where it can't be read."""

    cores: int
    others_cores: float | None = None
    stolen_share: float | None = None
    frequency_change: float | None = None
    probe_change: float | None = None
    throttle_events: int | None = None
    too_hot_c: float | None = None
    interrupted: bool = False


def reasons(
    series: Sequence[Series], conditions: Conditions, limits: Limits = DEFAULT_LIMITS
) -> list[Reason]:
    """Return all that makes a result unstable; an empty list means STABLE."""
    found = [reason for one in series for reason in _of_series(one, limits)]
    return [*found, *_of_machine(conditions, limits)]


def state_of(found: Sequence[Reason]) -> State:
    """Return UNSTABLE if there is a reason."""
    return "UNSTABLE" if found else "STABLE"


def winner(speedup: Interval) -> Literal["candidate", "baseline"] | None:
    """Return the faster model by the ratio of the baseline's time to the candidate's, or None when
    its interval contains 1."""
    if speedup.spans(1.0):
        return None
    return "candidate" if speedup.low > 1 else "baseline"


def _of_series(one: Series, limits: Limits) -> Iterator[Reason]:
    variation = stats.trimmed_variation(one.samples)
    between_blocks = stats.between_block_range(one.samples, one.blocks)
    if len(one.samples) < limits.min_samples:
        yield Reason(
            "too-few-samples",
            f"{one.name}: {len(one.samples)} runs, fewer than {limits.min_samples}",
        )
    if variation > limits.variation:
        yield Reason(
            "variation",
            f"{one.name}: coefficient of variation {variation:.1%}, "
            f"limit {limits.variation:.0%} (all runs: {stats.variation(one.samples):.1%})",
        )
    if between_blocks > limits.between_block_range:
        yield Reason(
            "between-block-range",
            f"{one.name}: block medians differ by {between_blocks:.1%}, "
            f"limit {limits.between_block_range:.0%}",
        )


def _of_machine(conditions: Conditions, limits: Limits) -> Iterator[Reason]:
    busy = max(limits.others_cores, limits.others_share_of_machine * conditions.cores)
    if _over(conditions.others_cores, busy):
        text = f"other processes used {conditions.others_cores:.2f} cores, limit {busy:.2f}"
        yield Reason("load", text)
    if _over(conditions.stolen_share, limits.stolen_share):
        text = f"the hypervisor took {conditions.stolen_share:.1%} of the processor time"
        yield Reason("stolen", f"{text}, limit {limits.stolen_share:.0%}")
    if _over(conditions.frequency_change, limits.speed_change):
        text = f"the CPU's frequency changed by {conditions.frequency_change:.1%} between blocks"
        yield Reason("frequency", f"{text}, limit {limits.speed_change:.0%}")
    if _over(conditions.probe_change, limits.speed_change):
        text = f"a fixed computation took up to {conditions.probe_change:.1%} longer between blocks"
        yield Reason("speed", f"{text}, limit {limits.speed_change:.0%}")
    if conditions.throttle_events:
        yield Reason("thermal", f"the CPU throttled for heat {conditions.throttle_events} times")
    if conditions.too_hot_c is not None:
        yield Reason(
            "temperature", f"the device reached {conditions.too_hot_c:g} °C, over its limit"
        )
    if conditions.interrupted:
        yield Reason("interrupted", "interrupted before all runs were made")


def _over(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
