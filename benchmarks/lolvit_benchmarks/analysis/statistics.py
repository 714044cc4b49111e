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

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Interruptions by other processes only ever lengthen a run; the trimmed coefficient of variation
# leaves out this share of the runs, the slowest.
SLOWEST_SHARE = 0.05
RESAMPLES = 2000
SEED = 20250803
# Resamples are drawn in portions of at most this many samples: 64 MB of indices.
_PORTION = 1 << 23


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


def ratio_of_medians(
    numerator: Sequence[float],
    denominator: Sequence[float],
    rounds: Sequence[int],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Return median(numerator) / median(denominator) with its bootstrap 95 % interval.

    Sample i of both models was taken in round `rounds[i]`, and every round has as many samples.
    Runs close in time resemble each other, so samples are not resampled one by one: a resample
    draws whole rounds, the same for both models, then pairs of samples within each round drawn.
    What disturbs both models of a round alike thus cancels. The percentiles are those of the log of
    the ratio, so exchanging the two gives the reciprocals; the interval is widened to hold the
    ratio itself where resampling misses it.

    Raises:
        ValueError: the models or the rounds differ in their number of samples.
    """
    above, below = _by_round(numerator, rounds), _by_round(denominator, rounds)
    ratio = float(np.median(above) / np.median(below))
    return _interval(
        ratio, _resampled_log_ratios(above, below, resamples, np.random.default_rng(seed))
    )


def ratio_of_separate_medians(
    numerator: Sequence[float],
    numerator_rounds: Sequence[int],
    denominator: Sequence[float],
    denominator_rounds: Sequence[int],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """Return median(numerator) / median(denominator) with its bootstrap 95 % interval, for samples
    of two measurements, each resampled by its own rounds. What disturbed one of the two as a whole
    does not cancel, and is not in the interval.

    Raises:
        ValueError: a model's rounds differ in their number of samples.
    """
    above = _by_round(numerator, numerator_rounds)
    below = _by_round(denominator, denominator_rounds)
    generator = np.random.default_rng(seed)
    logs = _resampled_log_ratios(above, np.ones_like(above), resamples, generator)
    logs -= _resampled_log_ratios(below, np.ones_like(below), resamples, generator)
    return _interval(float(np.median(above) / np.median(below)), logs)


def _interval(ratio: float, logs: Floats) -> Interval:
    low, high = np.exp(np.quantile(logs, (0.025, 0.975)))
    return Interval(ratio, min(float(low), ratio), max(float(high), ratio))


def _by_round(samples: Sequence[float], rounds: Sequence[int]) -> Floats:
    """Return the samples as an array of shape (rounds, samples of a round)."""
    values, labels = np.asarray(samples, np.float64), np.asarray(rounds)
    if values.shape != labels.shape or not values.size:
        raise ValueError(f"{values.size} samples for {labels.size} round numbers")
    found, counts = np.unique(labels, return_counts=True)
    if len(set(counts.tolist())) != 1:
        raise ValueError(f"rounds of unequal sizes: {sorted(set(counts.tolist()))}")
    return values[np.argsort(labels, kind="stable")].reshape(found.size, -1)


def _resampled_log_ratios(
    above: Floats, below: Floats, resamples: int, generator: np.random.Generator
) -> Floats:
    portion = max(1, _PORTION // above.size)
    sizes = [min(portion, resamples - start) for start in range(0, resamples, portion)]
    return np.concatenate([_log_ratios(above, below, size, generator) for size in sizes])


def _log_ratios(above: Floats, below: Floats, size: int, generator: np.random.Generator) -> Floats:
    rounds, each = above.shape
    rows: Ints = generator.integers(rounds, size=(size, rounds, 1))
    columns: Ints = generator.integers(each, size=(size, rounds, each))
    numerators = np.median(above[rows, columns].reshape(size, -1), axis=1)
    denominators = np.median(below[rows, columns].reshape(size, -1), axis=1)
    result: Floats = np.log(numerators) - np.log(denominators)
    return result


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


# The speedup by rounds.

TRIMMED_SHARE = 0.2  # of the rounds, at either end
# Blocks count as different once their medians vary this many times as much as the rounds explain;
# so chosen, intervals covered in at least 94 % of simulated measurements.
BLOCK_VARIANCE_RATIO = 1.3
# Two-sided 95 % quantiles of Student's t with 1 to 4 degrees of freedom.
_T_975 = (12.706204736, 4.302652730, 3.182446305, 2.776445105)
_Z_975 = 1.959963985


@dataclass(frozen=True)
class RoundRatio:
    """A ratio estimated over rounds: its interval, and what the interval is computed over."""

    interval: Interval
    over: Literal["rounds", "blocks"]

    @property
    def half_width(self) -> float:
        """Half the interval's width on the logarithmic scale: 0.02 is 2 % of the ratio."""
        return float(np.log(self.interval.high / self.interval.low)) / 2


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


def ratio_over_rounds(log_ratios: Sequence[float], blocks: Sequence[int]) -> RoundRatio:
    """Return the ratio whose logarithm is the 20 % trimmed mean of the rounds' log ratios, with its
    95 % interval.

    The interval is Yuen's over the rounds, by the winsorized variance and Student's t. `blocks[i]`
    is the block of round i: where blocks differ by more than their rounds do, as where each is a
    process of its own, the interval is Student's over the blocks' medians, if that is wider, around
    the same ratio.

    Sources: Tukey and McLaughlin, Sankhya A 25 (1963); Yuen, Biometrika 61 (1974).

    Raises:
        ValueError: fewer than two rounds, or another number of blocks' labels.
    """
    values, labels = np.asarray(log_ratios, np.float64), np.asarray(blocks)
    if values.size < 2 or values.shape != labels.shape:
        raise ValueError(f"no interval from {values.size} rounds with {labels.size} block numbers")
    center, half, error = _yuen(values)
    over: Literal["rounds", "blocks"] = "rounds"
    medians = np.asarray(group_medians(log_ratios, blocks))
    if medians.size > 1 and medians.var(ddof=1) > BLOCK_VARIANCE_RATIO * medians.size * error**2:
        over_blocks = t_quantile(medians.size - 1) * float(medians.std(ddof=1) / medians.size**0.5)
        if over_blocks > half:
            half, over = over_blocks, "blocks"
    low, ratio, high = (float(np.exp(center + step)) for step in (-half, 0.0, half))
    return RoundRatio(Interval(ratio, low, high), over)


def t_quantile(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t: a table up to 4 degrees of freedom, and
    from 5 the Cornish-Fisher expansion, whose relative error is at most 0.011 %.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z, v = _Z_975, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


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
