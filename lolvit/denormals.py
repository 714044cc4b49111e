"""Denormal floats, with which CPUs compute tens of times more slowly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The largest share of denormal activations that does not affect latency.
MAX_DENORMAL_SHARE = 1e-3
_SUM_TOLERANCE = 1e-3


def denormal_share(values: NDArray[np.floating]) -> float:
    """Return the share of denormal values in a tensor, 0 to 1.

    0 for probabilities, which add up to one along an axis: where a network masks scores, as Swin
    does with -100, their softmax is denormal however well it was trained.
    """
    magnitudes = np.abs(values)
    share = float(((magnitudes > 0) & (magnitudes < np.finfo(values.dtype).tiny)).mean())
    return 0.0 if share > MAX_DENORMAL_SHARE and _are_probabilities(values) else share


def _are_probabilities(values: NDArray[np.floating]) -> bool:
    if not (values >= 0).all():
        return False
    sums = (values.sum(axis, dtype=np.float64) for axis in range(values.ndim))
    return any(bool((np.abs(each - 1) < _SUM_TOLERANCE).all()) for each in sums)
