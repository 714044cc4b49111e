"""The ranges of all activations of a model: one run over the calibration images gives what minmax
needs, a second, only where a method asks for it, the histograms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from lolvit.errors import UserError
from lolvit_export.quantization.plan import Method
from lolvit_export.quantization.ranges import (
    BINS,
    Histogram,
    Range,
    Values,
    fit_range,
    histogram_counts,
)

# An activation that is zero on every image has no scale, and one that is nearly zero a scale so
# small that the bias of what reads it, whose scale is a multiple of it, does not fit into 32 bits.
_NEGLIGIBLE = 2.0**-20
# Values of one activation on one image that a histogram counts, at most: evenly many of all.
_COUNTED = 1 << 14
# Yields each activation's name and values, image after image; the values are valid until the next.
Replay = Callable[[], Iterator[tuple[str, Values]]]


class ActivationRanges:
    """Ranges of activations by name, fit_range by any method; the model runs twice at most."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._extents: dict[str, Range] = {}
        self._histograms: dict[str, Histogram] = {}
        self._fitted: dict[tuple[Method, float | None, int], Mapping[str, Range]] = {}

    def fit(
        self, method: Method, percentile: float | None = None, levels: int = 256
    ) -> Mapping[str, Range]:
        """Return the range that a method finds for each activation, for `levels` integers.

        Raises:
            UserError: an activation overflows on an image, or the percentile is not one.
        """
        if percentile is not None and not 50 < percentile <= 100:
            raise UserError(f"percentile {percentile:g} is not above 50 and at most 100")
        key = (method, percentile, levels)
        if key not in self._fitted:
            self._fitted[key] = self._fit(method, percentile, levels)
        return self._fitted[key]

    def _fit(self, method: Method, percentile: float | None, levels: int) -> dict[str, Range]:
        extents = self._measured_extents()
        if method == "minmax":
            return {name: _with_zero(limits) for name, limits in extents.items()}
        return {
            name: _with_zero(fit_range(histogram, method, percentile, levels))
            for name, histogram in self._counted_histograms(extents).items()
        }

    def _measured_extents(self) -> Mapping[str, Range]:
        for name, values in self._replay() if not self._extents else ():
            low, high = float(values.min()), float(values.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise UserError(
                    f"activation '{name}' overflows on a calibration image",
                    remedy="calibrate with photos like those that the model was trained on",
                )
            before = self._extents.get(name, (low, high))
            self._extents[name] = min(before[0], low), max(before[1], high)
        return self._extents

    def _counted_histograms(self, extents: Mapping[str, Range]) -> Mapping[str, Histogram]:
        if not self._histograms:
            counts = {name: np.zeros(BINS, np.int64) for name in extents}
            for name, values in self._replay():
                step = values.size // _COUNTED | 1  # odd: rows and channels are powers of two
                counts[name] += histogram_counts(values.ravel()[::step], extents[name])
            self._histograms = {
                name: Histogram(*extents[name], each) for name, each in counts.items()
            }
        return self._histograms


def _with_zero(limits: Range) -> Range:
    """Return a range that holds zero, which padding and clamps need exact, and is not empty."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    return (low, high) if high - low > _NEGLIGIBLE else (0.0, 1.0)
