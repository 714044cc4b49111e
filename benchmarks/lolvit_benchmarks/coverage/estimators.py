"""Estimators of a speedup with their 95 % intervals, and how often these hold a known ratio.

The estimator of results is the 20 % trimmed mean of the rounds' log ratios. It was chosen among
these: their median with order statistics, Hodges and Lehmann's estimate, and the ratio of medians
with a bootstrap by rounds, the method of result schema 1. All have the same interval over blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.analysis.statistics import Interval

Floats = npt.NDArray[np.float64]

NAMES = ("candidate", "baseline")
RESAMPLES = 300  # of the bootstrap


@dataclass(frozen=True)
class Pair:
    """The samples of two candidates in milliseconds, each of shape (rounds, samples of a round),
    and the block of each round."""

    candidate: Floats
    baseline: Floats
    blocks: tuple[int, ...]

    def series(self) -> tuple[quality.Series, quality.Series]:
        """Return the candidate and the baseline as results are evaluated."""
        each = self.candidate.shape[1]
        rounds = np.repeat(range(len(self.blocks)), each).tolist()
        blocks = np.repeat(self.blocks, each).tolist()
        candidate, baseline = (
            quality.Series(name, getattr(self, name).ravel().tolist(), blocks, rounds)
            for name in NAMES
        )
        return candidate, baseline

    def log_ratios(self) -> Floats:
        """Return the log ratio of each round, without what the order of loading changes."""
        return self._logs[0]

    def interval(self, center: float, low: float, high: float) -> Interval:
        """Return the interval between two logarithms, or that over blocks under the conditions on
        which results have it: `low` and `high` are 1.96 standard errors from `center`."""
        logs, means = self._logs
        half, error = stats.over_blocks(logs, np.asarray(self.blocks), means)
        own = (high - low) / 2
        if error > own / 1.96 and half > own:
            low, high = center - half, center + half
        value, lowest, highest = np.exp((center, low, high)).tolist()
        return Interval(value, lowest, highest)

    @cached_property
    def _logs(self) -> tuple[Floats, int]:
        candidate, baseline = self.series()
        logs = stats.round_log_ratios(baseline.samples, candidate.samples, candidate.rounds)
        return stats.without_loading_order(np.asarray(logs), np.asarray(self.blocks))


# Estimators.


def trimmed_mean(pair: Pair) -> Interval:
    """The speedup of results."""
    return quality.speedup_of(*pair.series()).interval


def median(pair: Pair) -> Interval:
    """The median of the rounds' log ratios between two order statistics."""
    logs = np.sort(pair.log_ratios())
    below, chances = 0, 1  # of 2 ** logs.size
    while 40 * chances <= 2**logs.size and below < logs.size // 2:
        below += 1
        chances += math.comb(logs.size, below)
    place = max(0, below - 1)
    return pair.interval(float(np.median(logs)), float(logs[place]), float(logs[-1 - place]))


def hodges_lehmann(pair: Pair) -> Interval:
    """The median of the means of all pairs of rounds, between those that Wilcoxon's signed ranks
    give (Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963)."""
    logs = pair.log_ratios()
    rows, columns = np.triu_indices(logs.size)
    means = np.sort((logs[rows] + logs[columns]) / 2)
    count = logs.size
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    place = max(0, math.floor(count * (count + 1) / 4 - 1.96 * spread))
    return pair.interval(float(np.median(means)), float(means[place]), float(means[-1 - place]))


def ratio_of_medians(pair: Pair) -> Interval:
    """The ratio of all samples' medians with the bootstrap that draws rounds, then pairs of samples
    within them."""
    generator = np.random.default_rng(0)
    rounds, each = pair.candidate.shape
    rows = generator.integers(rounds, size=(RESAMPLES, rounds, 1))
    columns = generator.integers(each, size=(RESAMPLES, rounds, each))
    logs = np.log(np.median(pair.baseline[rows, columns].reshape(RESAMPLES, -1), axis=1))
    logs -= np.log(np.median(pair.candidate[rows, columns].reshape(RESAMPLES, -1), axis=1))
    center = float(np.log(np.median(pair.baseline) / np.median(pair.candidate)))
    low, high = np.quantile(logs, (0.025, 0.975))
    return pair.interval(center, min(center, float(low)), max(center, float(high)))


ESTIMATORS: dict[str, Callable[[Pair], Interval]] = {
    "trimmed mean": trimmed_mean,
    "median": median,
    "Hodges-Lehmann": hodges_lehmann,
    "ratio of medians": ratio_of_medians,
}


@dataclass(frozen=True)
class Coverage:
    """Of one estimator on many pairs: the share of intervals that hold the true ratio, the share
    that exclude 1, and mean and median of half their widths."""

    covered: float
    differs: float
    mean_half_width: float
    median_half_width: float


def coverage(
    pairs: Sequence[Pair], estimator: Callable[[Pair], Interval], truth: float = 1.0
) -> Coverage:
    """Return the coverage of an estimator's intervals."""
    found = [estimator(pair) for pair in pairs]
    covered = sum(interval.spans(truth) for interval in found) / len(found)
    differs = sum(not interval.spans(1.0) for interval in found) / len(found)
    widths = [stats.half_width(interval) for interval in found]
    return Coverage(covered, differs, float(np.mean(widths)), float(np.median(widths)))
