"""Statistics of latencies: pure functions, which never print and never exit.

Samples are durations in any one unit, more than zero and finite; `groups` gives, for each sample,
the block or round that it was taken in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lolvit.student_t import t_quantile

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int_]

# Interruptions by other processes only ever lengthen a run; the trimmed coefficient of variation
# leaves out this share of the runs, the slowest.
SLOWEST_SHARE = 0.05
SAMPLES_FOR_P99 = 500  # five of them are beyond it


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def spans(self, value: float) -> bool:
        """Whether `value` lies inside, its bounds included."""
        return self.low <= value <= self.high


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the samples lie, linearly interpolated."""
    return float(np.quantile(np.asarray(samples, np.float64), share))


def median(samples: Sequence[float]) -> float:
    """Return the middle sample, or the mean of the middle two."""
    return float(np.median(np.asarray(samples, np.float64)))


def p99(samples: Sequence[float]) -> float | None:
    """Return the 99th percentile, or None of fewer than `SAMPLES_FOR_P99` samples."""
    return percentile(samples, 0.99) if len(samples) >= SAMPLES_FOR_P99 else None


def variation(samples: Sequence[float]) -> float:
    """Return the coefficient of variation: the standard deviation over the mean; 0 for one sample.

    A single run of ten times the usual length lifts it over 50 % in a hundred samples.
    """
    values = np.asarray(samples, np.float64)
    return float(values.std(ddof=1) / values.mean()) if values.size > 1 else 0.0


def trimmed_variation(samples: Sequence[float], slowest: float = SLOWEST_SHARE) -> float:
    """Return the coefficient of variation without the slowest share of the samples (rounded
    down)."""
    values = np.sort(np.asarray(samples, np.float64))
    return variation(values[: values.size - int(values.size * slowest)].tolist())


def group_medians(samples: Sequence[float], groups: Sequence[int]) -> list[float]:
    """Return the median of each group, in the groups' order."""
    values, labels = np.asarray(samples, np.float64), np.asarray(groups)
    return [float(np.median(values[labels == label])) for label in np.unique(labels)]


def between_block_range(samples: Sequence[float], groups: Sequence[int]) -> float:
    """Return the range of the groups' medians over the median of all samples."""
    medians = group_medians(samples, groups)
    return (max(medians) - min(medians)) / median(samples)


def power(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the exponent e of the power law time ~ size ** e nearest to the points: the slope of
    the least-squares line through their logarithms.

    Raises:
        ValueError: fewer than two different sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"no slope through sizes {sorted(set(sizes))}")
    x, y = np.log(np.asarray(sizes, np.float64)), np.log(np.asarray(times, np.float64))
    x -= x.mean()
    return float((x * y).sum() / (x * x).sum())


def quotient(above: Interval, below: Interval) -> Interval:
    """Return the quotient of two independent figures: the squares of their distances to their
    bounds, as logarithms, add up."""
    value = above.value / below.value
    down = np.hypot(np.log(above.value / above.low), np.log(below.high / below.value))
    up = np.hypot(np.log(above.high / above.value), np.log(below.value / below.low))
    return Interval(value, float(value * np.exp(-down)), float(value * np.exp(up)))


# Estimates over rounds.

TRIMMED_SHARE = 0.2  # of the rounds, at either end
MIN_ROUNDS_OF_A_HALF = 4


@dataclass(frozen=True)
class RoundRatio:
    """A ratio, or a latency, estimated over rounds: its interval, and what the interval is computed
    over."""

    interval: Interval
    over: Literal["rounds", "blocks"]

    @property
    def half_width(self) -> float:
        """As `half_width` of the interval."""
        return half_width(self.interval)


def half_width(interval: Interval) -> float:
    """Return half the interval's width on the logarithmic scale: 0.02 is 2 % of the figure."""
    return float(np.log(interval.high / interval.low)) / 2


def round_log_ratios(
    numerator: Sequence[float], denominator: Sequence[float], rounds: Sequence[int]
) -> list[float]:
    """Return, for each round, the log ratio of the two models' slot medians.

    Sample i of both models was taken in round `rounds[i]`, in the order of measuring. A round has
    two slots of each model, one on the way there and one back (A B B A), of equal length: the mean
    of the logarithms of a model's two slot medians is what a steady change of speed leaves as it
    is.

    Raises:
        ValueError: the models or the rounds differ in their number of samples, or a round's samples
            are no two slots.
    """
    above, below = (_slot_medians(samples, rounds) for samples in (numerator, denominator))
    ratios: list[float] = (np.log(above).mean(axis=1) - np.log(below).mean(axis=1)).tolist()
    return ratios


def round_blocks(blocks: Sequence[int], rounds: Sequence[int]) -> list[int]:
    """Return the block of each round, in the rounds' order; sample i was taken in block `blocks[i]`
    and round `rounds[i]`."""
    _, first = np.unique(np.asarray(rounds), return_index=True)
    return [blocks[place] for place in first]


def latency_over_rounds(
    samples: Sequence[float], blocks: Sequence[int], rounds: Sequence[int]
) -> RoundRatio:
    """Return the latency whose logarithm is the 20 % trimmed mean of the rounds' mean log slot
    medians, with its 95 % interval as `ratio_over_rounds` gives it.

    For models that were measured apart: what disturbed one measurement as a whole is not in the
    interval.

    Raises:
        ValueError: fewer than two rounds, or a round's samples are no two slots.
    """
    logs: list[float] = np.log(_slot_medians(samples, rounds)).mean(axis=1).tolist()
    return ratio_over_rounds(logs, round_blocks(blocks, rounds))


def ratio_over_rounds(log_ratios: Sequence[float], blocks: Sequence[int]) -> RoundRatio:
    """Return the ratio whose logarithm is the 20 % trimmed mean of the rounds' log ratios, with its
    95 % interval.

    The interval is Yuen's over the rounds, by the winsorized variance and Student's t. `blocks[i]`
    is the number of the block of round i: where blocks differ by more than their rounds do, as they
    may where models are loaded anew for each, the interval is Student's over the blocks' medians,
    if that is wider, around the same ratio. Before that, `without_loading_order` is applied.

    Sources: Tukey and McLaughlin, Sankhya A 25 (1963); Yuen, Biometrika 61 (1974); Wilcox,
    Introduction to Robust Estimation and Hypothesis Testing, section 4.3.

    Raises:
        ValueError: fewer than two rounds, or another number of blocks' labels.
    """
    values, labels = np.asarray(log_ratios, np.float64), np.asarray(blocks)
    if values.size < 2 or values.shape != labels.shape:
        raise ValueError(f"no interval from {values.size} rounds with {labels.size} block numbers")
    adjusted, means = without_loading_order(values, labels)
    return _over_rounds(adjusted, labels, means)


def without_loading_order(values: Floats, labels: Labels) -> tuple[Floats, int]:
    """Return log ratios without what the order of loading changes, and the number of means that
    were estimated.

    Of two equal models in one process, the one that is loaded first is slower or faster by up to
    some percent, and which one is first alternates with the block's number. Half the difference
    between blocks of even and of odd number is therefore subtracted. Two means; one, and the ratios
    as they are, where there are fewer than two blocks of either kind.
    """
    odd = labels % 2 == 1
    if min(np.unique(labels[odd]).size, np.unique(labels[~odd]).size) < 2:
        return values, 1
    change = (_yuen(values[odd])[0] - _yuen(values[~odd])[0]) / 2
    return np.where(odd, values - change, values + change), 2


def over_blocks(values: Floats, labels: Labels, means: int) -> tuple[float, float]:
    """Return half the width of Student's 95 % interval over the blocks' medians, and their standard
    error, of log ratios of which as many means as `means` were estimated; zeros of too few blocks.
    """
    medians = np.asarray(group_medians(values.tolist(), labels.tolist()))
    freedom = medians.size - means
    if freedom < 1:
        return 0.0, 0.0
    error = float((medians.var() / freedom) ** 0.5)
    return t_quantile(freedom) * error, error


def _over_rounds(values: Floats, labels: Labels, means: int) -> RoundRatio:
    center, half, error = _yuen(values)
    over: Literal["rounds", "blocks"] = "rounds"
    half_of_blocks, error_of_blocks = over_blocks(values, labels, means)
    if error_of_blocks > error and half_of_blocks > half:
        half, over = half_of_blocks, "blocks"
    low, ratio, high = (float(np.exp(center + step)) for step in (-half, 0.0, half))
    return RoundRatio(Interval(ratio, low, high), over)


def halves_disagree(log_ratios: Sequence[float], blocks: Sequence[int]) -> bool:
    """Whether the ratio changed in the course of the measurement by more than its interval states:
    the intervals of the first and of the second half of the rounds have nothing in common, and one
    half's ratio is outside the interval of all rounds. False where a half has fewer than
    `MIN_ROUNDS_OF_A_HALF` rounds."""
    middle = len(log_ratios) // 2
    if middle < MIN_ROUNDS_OF_A_HALF:
        return False
    labels = np.asarray(blocks)
    values, means = without_loading_order(np.asarray(log_ratios, np.float64), labels)
    whole = _over_rounds(values, labels, means).interval
    first = _over_rounds(values[:middle], labels[:middle], 1).interval
    second = _over_rounds(values[middle:], labels[middle:], 1).interval
    apart = first.high < second.low or second.high < first.low
    return apart and not (whole.spans(first.value) and whole.spans(second.value))


def _by_round(samples: Sequence[float], rounds: Sequence[int]) -> Floats:
    """Return the samples as an array of shape (rounds, samples of a round)."""
    values, labels = np.asarray(samples, np.float64), np.asarray(rounds)
    if values.shape != labels.shape or not values.size:
        raise ValueError(f"{values.size} samples for {labels.size} round numbers")
    found, counts = np.unique(labels, return_counts=True)
    if len(set(counts.tolist())) != 1:
        raise ValueError(f"rounds of unequal sizes: {sorted(set(counts.tolist()))}")
    return values[np.argsort(labels, kind="stable")].reshape(found.size, -1)


def _slot_medians(samples: Sequence[float], rounds: Sequence[int]) -> Floats:
    """Return the medians of the slots, of shape (rounds, 2)."""
    by_round = _by_round(samples, rounds)
    if by_round.shape[1] % 2:
        raise ValueError(f"{by_round.shape[1]} samples of a round are no two slots")
    medians: Floats = np.median(by_round.reshape(by_round.shape[0], 2, -1), axis=2)
    return medians


def _yuen(values: Floats) -> tuple[float, float, float]:
    """Return the trimmed mean of at least two values, half the width of its 95 % interval, and its
    standard error."""
    ordered = np.sort(values)
    trimmed = int(TRIMMED_SHARE * ordered.size)
    kept = ordered[trimmed : ordered.size - trimmed]
    winsorized = np.clip(ordered, kept[0], kept[-1])
    squares = float(((winsorized - winsorized.mean()) ** 2).sum())
    error = float(np.sqrt(squares / (kept.size * (kept.size - 1))))
    return float(kept.mean()), t_quantile(kept.size - 1) * error, error
