"""Ranges of activations, fit_range to histograms of the values that calibration images give.

    minmax      everything seen
    percentile  all but the outermost (100 - p) % of the values
    mse         the range whose squared error, rounding and clipping together, is the smallest
    entropy     the range whose quantized histogram is nearest to the original by Kullback-Leibler
                divergence (Migacz, 8-bit Inference with TensorRT, GTC 2017)

All but minmax clip rare large values for a smaller scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lolvit_export.quantization.plan import Method

BINS = 2048
PERCENTILE = 99.99  # per cent of the values that a range holds, where a plan names no other
# Shares of the whole range that mse and entropy try. Below the least, more is clipped than seen.
_SHRINKS = np.linspace(0.15, 1.0, 86)
Range = tuple[float, float]
Values = npt.NDArray[np.float32]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """How often values fell into each of `BINS` equal parts of the range [low, high]."""

    low: float
    high: float
    counts: npt.NDArray[np.int64]  # (BINS,)

    @property
    def counts_without_zeros(self) -> npt.NDArray[np.int64]:
        """The counts (BINS,) without the zeros, which every range holds exactly: a ReLU gives so
        many that no other value would count. Their bin has what its fuller neighbour has."""
        if not self.low <= 0 <= self.high:
            return self.counts
        place = min(BINS - 1, int(-self.low * BINS / (self.high - self.low)))
        beside = self.counts[max(0, place - 1) : place + 2].copy()
        beside[min(place, 1)] = 0
        result = self.counts.copy()
        result[place] = min(result[place], beside.max())
        return result

    @property
    def centers(self) -> _Floats:
        """The middle of each bin, (BINS,)."""
        width = (self.high - self.low) / BINS
        return np.asarray(self.low + width * (np.arange(BINS) + 0.5), np.float64)


def histogram_counts(values: Values, extent: Range) -> npt.NDArray[np.int64]:
    """Return how many values are in each bin of `extent`, (BINS,)."""
    low, high = extent
    if high <= low:
        return np.bincount([0], weights=[values.size], minlength=BINS).astype(np.int64)
    places = ((values.ravel() - np.float32(low)) * np.float32(BINS / (high - low))).astype(np.int32)
    np.clip(places, 0, BINS - 1, out=places)
    return np.bincount(places, minlength=BINS).astype(np.int64)


def fit_range(
    histogram: Histogram, method: Method, percentile: float | None = None, levels: int = 256
) -> Range:
    """Return the range (low, high) that a method fits for `levels` integers."""
    if method == "minmax" or histogram.high <= histogram.low:
        return histogram.low, histogram.high
    if method == "percentile":
        return _percentile(histogram, PERCENTILE if percentile is None else percentile)
    cost = _squared_error if method == "mse" else _divergence
    ranges = [(histogram.low * share, histogram.high * share) for share in _SHRINKS]
    return min(ranges, key=lambda each: cost(histogram, each, levels))


def _percentile(histogram: Histogram, percentile: float) -> Range:
    """Cut the same share off both ends, at bins' outer edges; a ReLU's zeros stay in."""
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    edges = np.linspace(histogram.low, histogram.high, BINS + 1)
    cut = (1 - percentile / 100) / 2
    low = edges[int(np.searchsorted(share, cut, side="right"))]
    high = edges[min(BINS, int(np.searchsorted(share, 1 - cut, side="left")) + 1)]
    return float(low), float(high)


def _squared_error(histogram: Histogram, limits: Range, levels: int) -> float:
    """Return the sum of squared errors: scale²/12 inside, the distance to the range outside."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = (high - low) / (levels - 1)
    centers = histogram.centers
    outside = np.maximum(np.maximum(low - centers, centers - high), 0.0)
    error = np.where(outside > 0, np.square(outside), scale * scale / 12)
    return float((error * histogram.counts_without_zeros).sum())


def _divergence(histogram: Histogram, limits: Range, levels: int) -> float:
    """Return KL(P | Q): P is the histogram with what is clipped added to its ends, Q is P's inside
    averaged over each level's bins."""
    inside = (histogram.centers >= limits[0]) & (histogram.centers <= limits[1])
    counts = histogram.counts_without_zeros
    kept = counts[inside].astype(np.float64)
    if not kept.any():
        return float("inf")
    first, last = np.flatnonzero(inside)[[0, -1]]
    clipped = kept.copy()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last + 1 :].sum()
    level = np.arange(kept.size) * min(levels, kept.size) // kept.size
    filled = kept > 0
    sums = np.bincount(level, weights=kept)
    sizes = np.maximum(np.bincount(level, weights=filled), 1)
    spread = np.where(filled, (sums / sizes)[level], 0.0)
    p = clipped / clipped.sum()
    q = np.maximum(spread / spread.sum(), 1e-12)  # an empty end that values are clipped into
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())
