"""Statistics of latencies: pure functions, which never print and never exit.

Samples are durations in any one unit, more than zero and finite; `groups` gives, for each sample,
the block or round that it was taken in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
