"""Metrics and their differences with 95 % intervals, from the results of several runs of each model
on the images of one test set: pure functions.

Of a classifier a run is a row of a boolean array (runs, images): whether the run, with a seed of
its own, gets each image right. Metrics of detection and segmentation have no such figure of an
image: theirs are computed again without each of some groups of images (`MetricOfRuns`). Images are
the same in all rows of both models, which makes a difference paired. An interval holds for new
seeds and for new images of the same kind: both are random effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from lolvit.jackknife import jackknife_variance
from lolvit.student_t import t_quantile

Right = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Over = Literal["seeds and images", "images"]


@dataclass(frozen=True)
class Estimate:
    """An accuracy, or a difference of two (-1 to 1), with the bounds of its 95 % interval, and what
    the interval is over: images alone where a model has one run."""

    value: float
    low: float
    high: float
    over: Over

    def excludes_zero(self) -> bool:
        """Whether a difference is significant."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class MetricOfRuns:
    """A metric, 0 to 1, of a model's runs: on all images (runs,), and on all but those of each
    group (runs, groups)."""

    whole: Floats
    without: Floats


@dataclass(frozen=True)
class _Added:
    """Values that are added to those of the images before their variance is estimated."""

    count: float
    sum: float
    squares: float


# Two images that are right and two that are wrong; half an image of each outcome of a pair, which
# has the differences 1, -1, 0 and 0.
_AGRESTI_COULL: Final = _Added(4, 2, 2)
_AGRESTI_MIN: Final = _Added(2, 0, 1)


@dataclass(frozen=True)
class _Variance:
    """A variance of the figure, with its degrees of freedom."""

    value: float
    freedom: int


def accuracy_of(right: Right) -> Estimate:
    """Return the mean accuracy of a model's runs, right (runs, images); its interval is cut at 0
    and 1.

    The variance over images is that of Agresti and Coull, of two images more of either kind
    (American Statistician 52, 1998): no interval has the width 0 where all images are right.
    """
    per_image = right.mean(axis=0)
    found = _interval(
        float(per_image.mean()),
        [_over_images(per_image, _AGRESTI_COULL), *_over_seeds(right.mean(axis=1))],
        seeds=len(right) > 1,
    )
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.over)


def difference_of(first: Right, second: Right) -> Estimate:
    """Return the accuracy of the first model less that of the second, of arrays (runs, images) of
    the same images in the same order.

    The variance is the sum of three: over images, of the difference of the models' shares of runs
    that get an image right; and, of each model, of its accuracies over seeds, over the number of
    runs. What seeds and images have in common is thereby counted twice, so that the interval is
    rather too wide than too narrow. Its width is that of Student's t, with Satterthwaite's degrees
    of freedom, rounded down.

    Sources: Clark, Journal of Verbal Learning and Verbal Behavior 12 (1973), on figures over two
    random factors; Satterthwaite, Biometrics Bulletin 2 (1946); over images Agresti and Min,
    Statistics in Medicine 24 (2005): McNemar's test as an interval, with half an image more of each
    of the four outcomes of a pair.

    Raises:
        ValueError: the models have different numbers of images.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"{first.shape[1]} and {second.shape[1]} images")
    per_image = first.mean(axis=0) - second.mean(axis=0)
    return _interval(
        float(per_image.mean()),
        [
            _over_images(per_image, _AGRESTI_MIN),
            *_over_seeds(first.mean(axis=1)),
            *_over_seeds(second.mean(axis=1)),
        ],
        seeds=min(len(first), len(second)) > 1,
    )


def mean_of(runs: MetricOfRuns) -> Estimate:
    """Return the mean of a metric over a model's runs; its interval is cut at 0 and 1.

    The variance over images is the jackknife's, of groups of images that are left out one at a
    time.
    """
    found = _interval(
        float(runs.whole.mean()),
        [_over_groups(runs.without.mean(axis=0)), *_over_seeds(runs.whole)],
        seeds=len(runs.whole) > 1,
    )
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.over)


def difference_of_means(first: MetricOfRuns, second: MetricOfRuns) -> Estimate:
    """Return the mean of a metric over the first model's runs less that over the second's, as
    `difference_of` does it; the variance over images is the jackknife's.

    Raises:
        ValueError: the models have different numbers of groups.
    """
    if first.without.shape[1] != second.without.shape[1]:
        raise ValueError(f"{first.without.shape[1]} and {second.without.shape[1]} groups")
    return _interval(
        float(first.whole.mean() - second.whole.mean()),
        [
            _over_groups(first.without.mean(axis=0) - second.without.mean(axis=0)),
            *_over_seeds(first.whole),
            *_over_seeds(second.whole),
        ],
        seeds=min(len(first.whole), len(second.whole)) > 1,
    )


def _over_images(per_image: Floats, added: _Added) -> _Variance:
    """Return the variance of the mean over images."""
    count = per_image.size + added.count
    mean = (float(per_image.sum()) + added.sum) / count
    squares = (float((per_image**2).sum()) + added.squares) / count
    return _Variance((squares - mean**2) / count, max(1, per_image.size - 1))


def _over_groups(without: Floats) -> _Variance:
    """Return the variance over images of a figure, from those without each group, (groups,)."""
    return _Variance(jackknife_variance(without), without.size - 1)


def _over_seeds(figures: Floats) -> list[_Variance]:
    """Return the variance of the mean of the runs' figures (runs,); none of a single run."""
    runs = len(figures)
    if runs < 2:
        return []
    return [_Variance(float(figures.var(ddof=1) / runs), runs - 1)]


def _interval(value: float, variances: Sequence[_Variance], *, seeds: bool) -> Estimate:
    total = sum(each.value for each in variances)
    spread = sum(each.value**2 / each.freedom for each in variances)
    half = t_quantile(max(1, int(total**2 / spread))) * total**0.5 if total else 0.0
    return Estimate(value, value - half, value + half, "seeds and images" if seeds else "images")
