"""How precise the ratio of a comparison is, whether it can be trusted, and what disturbed the
measurement, by stated limits: pure functions.

Candidates are interleaved, so that what slows both down alike cancels in their ratio: it is a
finding for the reader, and no reason against the ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lolvit.denormals import MAX_DENORMAL_SHARE
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.analysis.statistics import Interval, RoundRatio

State = Literal["precise", "fair", "coarse", "INVALID"]


@dataclass(frozen=True)
class Limits:
    """By which a result is evaluated. Shares are fractions of 1."""

    # Of the interval's half width.
    precise: float = 0.02
    fair: float = 0.05
    # A winner's interval has nothing in common with 1 ± this share.
    no_difference: float = 0.01
    # Beyond one of these a result is INVALID; the last is the range of the ratio's block medians
    # where the CPU throttled.
    min_blocks: int = 3
    denormal_share: float = MAX_DENORMAL_SHARE
    ratio_change: float = 0.05
    # Beyond one of these there is a finding.
    variation: float = 0.05
    between_block_range: float = 0.05
    min_samples: int = 30
    others_share: float = 0.05  # of the cores that were used
    stolen_share: float = 0.02
    speed_change: float = 0.05
    memory_change: float = 0.1


DEFAULT_LIMITS = Limits()


def rule(limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the limits as a paragraph, for whoever reads a result."""
    return (
        "The speedup is estimated over rounds, in each of which both models ran in turns; its "
        "quality is half the width of its 95 % interval: precise up to "
        f"{limits.precise:.0%}, fair up to {limits.fair:.0%}, else coarse. It is INVALID when the "
        "measurement was interrupted, or has fewer than "
        f"{limits.min_blocks} blocks; when the CPU throttled while the ratio changed by over "
        f"{limits.ratio_change:.0%} between blocks; when activations are denormal; when a model's "
        "outputs changed while it was timed; or when the ratios of the first and the second half "
        "of the rounds contradict the interval. What slows both models down alike does not "
        "invalidate a ratio and is listed as a finding: a coefficient of variation over "
        f"{limits.variation:.0%} (without the slowest {stats.SLOWEST_SHARE:.0%} of the runs), "
        f"block medians that differ by over {limits.between_block_range:.0%}, fewer than "
        f"{limits.min_samples} runs, other processes that used over {limits.others_share:.0%} of "
        f"the time of the cores that were used, or a hypervisor that took over "
        f"{limits.stolen_share:.0%} of it, a frequency, or a time of a fixed computation, that "
        f"changed by over {limits.speed_change:.0%} between blocks, a time of copying memory that "
        f"changed by over {limits.memory_change:.0%}, throttling and heat. No winner is named when "
        f"the interval has values within 1 ± {limits.no_difference:.0%}."
    )


@dataclass(frozen=True)
class Finding:
    """One thing that was found of a measurement: a code for programs and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Series:
    """The samples of one model, with block and round of each. `denormal_share` is the largest of
    any of its tensors, None where it is not known; `outputs_changed` says by how much its outputs
    differed after it was timed, None where they did not."""

    name: str
    samples: Sequence[float]
    blocks: Sequence[int]
    rounds: Sequence[int]
    denormal_share: float | None = None
    outputs_changed: str | None = None


@dataclass(frozen=True)
class Conditions:
    """What the machine did while measuring; None where it can't be read. `cores` are the
    machine's; `used_cores` of them are those that the measurement ran on."""

    cores: int
    used_cores: int | None = None
    others_cores: float | None = None
    stolen_share: float | None = None
    frequency_change: float | None = None
    probe_change: float | None = None
    memory_change: float | None = None
    throttle_events: int | None = None
    too_hot_c: float | None = None
    interrupted: bool = False


@dataclass(frozen=True)
class Quality:
    """The evaluation of a result: `reasons` are why it is INVALID, `findings` what disturbed
    the measurement without spoiling its ratio."""

    state: State
    half_width: float
    winner: Literal["candidate", "baseline"] | None
    reasons: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()


def speedup_of(candidate: Series, baseline: Series) -> RoundRatio:
    """Return the ratio of the baseline's time to the candidate's, as `stats.ratio_over_rounds`.

    Raises:
        ValueError: fewer than two rounds.
    """
    return stats.ratio_over_rounds(*_log_ratios(candidate, baseline))


def evaluate(
    candidate: Series,
    baseline: Series,
    conditions: Conditions,
    limits: Limits = DEFAULT_LIMITS,
) -> Quality:
    """Evaluate the speedup of a candidate over a baseline that was interleaved with it.

    Raises:
        ValueError: fewer than two rounds.
    """
    logs, blocks = _log_ratios(candidate, baseline)
    speedup = stats.ratio_over_rounds(logs, blocks)
    reasons = [
        *(finding for one in (candidate, baseline) for finding in _invalid_series(one, limits)),
        *_invalid_ratio(logs, blocks, speedup, conditions, limits),
    ]
    return Quality(
        state="INVALID" if reasons else grade(speedup.half_width, limits),
        half_width=speedup.half_width,
        winner=None if reasons else winner(speedup.interval, limits),
        reasons=tuple(reasons),
        findings=tuple(findings((candidate, baseline), conditions, limits)),
    )


def findings(
    series: Sequence[Series], conditions: Conditions, limits: Limits = DEFAULT_LIMITS
) -> list[Finding]:
    """Return what disturbed a measurement: what slows candidates down alike cancels in a ratio."""
    found = [finding for one in series for finding in _of_series(one, limits)]
    return [*found, *_of_machine(conditions, limits)]


def grade(half_width: float, limits: Limits = DEFAULT_LIMITS) -> State:
    """Return how precise a ratio is, by half the width of its interval."""
    if half_width <= limits.precise:
        return "precise"
    return "fair" if half_width <= limits.fair else "coarse"


def winner(
    speedup: Interval, limits: Limits = DEFAULT_LIMITS
) -> Literal["candidate", "baseline"] | None:
    """Return the faster model by the ratio of the baseline's time to the candidate's, or None when
    the difference may be as small as `limits.no_difference`. Exchanging the models exchanges the
    winner."""
    if speedup.low > 1 + limits.no_difference:
        return "candidate"
    return "baseline" if speedup.high < 1 / (1 + limits.no_difference) else None


def _log_ratios(candidate: Series, baseline: Series) -> tuple[list[float], list[int]]:
    """Return each round's log ratio, baseline over candidate, and its block."""
    logs = stats.round_log_ratios(baseline.samples, candidate.samples, candidate.rounds)
    return logs, stats.round_blocks(candidate.blocks, candidate.rounds)


def _invalid_series(one: Series, limits: Limits) -> Iterator[Finding]:
    if _over(one.denormal_share, limits.denormal_share):
        text = f"{one.denormal_share:.1%} of a layer's activations are denormal or not finite"
        yield Finding("denormals", f"{one.name}: {text}")
    if one.outputs_changed is not None:
        yield Finding(
            "outputs-changed",
            f"{one.name}: its outputs after timing are not those before: {one.outputs_changed}",
        )


def _invalid_ratio(
    logs: Sequence[float],
    blocks: Sequence[int],
    speedup: RoundRatio,
    conditions: Conditions,
    limits: Limits,
) -> Iterator[Finding]:
    if conditions.interrupted:
        yield Finding("interrupted", "interrupted before all runs were made")
    medians = stats.group_medians(logs, blocks)
    if len(medians) < limits.min_blocks:
        yield Finding("too-few-blocks", f"{len(medians)} blocks, fewer than {limits.min_blocks}")
    throttled = bool(conditions.throttle_events) or conditions.too_hot_c is not None
    change = max(medians) - min(medians)
    if throttled and speedup.over == "blocks" and change > limits.ratio_change:
        yield Finding(
            "throttled-unequally",
            f"the CPU throttled, and the ratio changed by {change:.1%} between blocks, "
            f"limit {limits.ratio_change:.0%}",
        )
    if stats.halves_disagree(logs, blocks):
        yield Finding(
            "halves-disagree",
            "the ratios of the first and the second half of the rounds contradict the interval",
        )


def _of_series(one: Series, limits: Limits) -> Iterator[Finding]:
    variation = stats.trimmed_variation(one.samples)
    between_blocks = stats.between_block_range(one.samples, one.blocks)
    if len(one.samples) < limits.min_samples:
        yield Finding(
            "too-few-samples",
            f"{one.name}: {len(one.samples)} runs, fewer than {limits.min_samples}",
        )
    if variation > limits.variation:
        yield Finding(
            "variation",
            f"{one.name}: coefficient of variation {variation:.1%}, "
            f"limit {limits.variation:.0%} (all runs: {stats.variation(one.samples):.1%})",
        )
    if between_blocks > limits.between_block_range:
        yield Finding(
            "between-block-range",
            f"{one.name}: block medians differ by {between_blocks:.1%}, "
            f"limit {limits.between_block_range:.0%}",
        )


def _of_machine(conditions: Conditions, limits: Limits) -> Iterator[Finding]:
    used = conditions.used_cores or conditions.cores
    if _over(conditions.others_cores, limits.others_share * used):
        text = f"other processes used {conditions.others_cores:.2f} of {used} used cores"
        yield Finding("load", f"{text}, limit {limits.others_share * used:.2f}")
    if _over(conditions.stolen_share, limits.stolen_share):
        text = f"the hypervisor took {conditions.stolen_share:.1%} of the used cores' time"
        yield Finding("stolen", f"{text}, limit {limits.stolen_share:.0%}")
    if _over(conditions.frequency_change, limits.speed_change):
        text = f"the CPU's frequency changed by {conditions.frequency_change:.1%} between blocks"
        yield Finding("frequency", f"{text}, limit {limits.speed_change:.0%}")
    if _over(conditions.probe_change, limits.speed_change):
        text = f"a fixed computation took up to {conditions.probe_change:.1%} longer between blocks"
        yield Finding("speed", f"{text}, limit {limits.speed_change:.0%}")
    if _over(conditions.memory_change, limits.memory_change):
        text = f"copying memory took up to {conditions.memory_change:.1%} longer between blocks"
        yield Finding("memory", f"{text}, limit {limits.memory_change:.0%}")
    if conditions.throttle_events:
        yield Finding("thermal", f"the CPU throttled for heat {conditions.throttle_events} times")
    if conditions.too_hot_c is not None:
        yield Finding(
            "temperature", f"the device reached {conditions.too_hot_c:g} °C, over its limit"
        )


def _over(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
