"""The jackknife: how far a figure varies over images, from that figure without some of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def jackknife_variance(without: npt.NDArray[np.float64]) -> float:
    """Return the variance over images of a figure, from those without each image or each group of
    images, (groups,); 0 of one group.

    Sources: Efron and Stein, Annals of Statistics 9, 1981; Shao and Wu, Annals of Statistics 17,
    1989, on leaving out several.
    """
    return float(without.var() * (without.size - 1))
