"""Mean intersection over union, as sums that can be reduced over images and processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassIou, SegmentationScore
from lolvit_data.annotations import IGNORE, Mask

BACKGROUND = "background"


class SegmentationMetrics:
    """The confusion matrix [class, prediction] of pixels; a prediction may be none at all."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes, self.images = classes, 0
        count = len(classes)
        self.confusion = np.zeros((count, count + 1), np.int64)

    def update(self, mask: Mask, found: Mask) -> None:
        """Add an image: its classes (H, W), and the predicted ones; `IGNORE` is not labelled, or
        not seen by the model, which counts as wrong."""
        count = len(self.classes)
        labelled = mask != IGNORE
        claimed = np.minimum(found[labelled].astype(np.int64), count)
        pairs = mask[labelled].astype(np.int64) * (count + 1) + claimed
        self.confusion += np.bincount(pairs, minlength=count * (count + 1)).reshape(count, -1)
        self.images += 1

    def state(self) -> npt.NDArray[np.float64]:
        """Return all sums as one vector, to be all-reduced over processes."""
        return np.concatenate([[self.images], self.confusion.ravel()]).astype(np.float64)

    @classmethod
    def from_state(
        cls, classes: tuple[str, ...], sums: npt.NDArray[np.float64]
    ) -> SegmentationMetrics:
        """Return the metrics whose `state` this is."""
        metrics = cls(classes)
        metrics.images = int(sums[0])
        metrics.confusion = sums[1:].reshape(metrics.confusion.shape).astype(np.int64)
        return metrics

    def merge(self, others: Sequence[SegmentationMetrics]) -> SegmentationMetrics:
        """Return the metrics of all images of several parts."""
        return self.from_state(self.classes, np.sum([each.state() for each in others], axis=0))

    def compute(self) -> SegmentationScore:
        """Return the metrics of the classes that are there or were found."""
        right = np.diag(self.confusion)
        support = self.confusion.sum(1)
        union = support + self.confusion[:, :-1].sum(0) - right
        total = max(1, int(support.sum()))
        ious = [float(r / u) if u else None for r, u in zip(right, union, strict=True)]
        background = self.classes.index(BACKGROUND) if BACKGROUND in self.classes else None
        known = [iou for iou in ious if iou is not None]
        objects = [iou for i, iou in enumerate(ious) if iou is not None and i != background]
        return SegmentationScore(
            images=self.images,
            miou=float(np.mean(known)) if known else 0.0,
            miou_foreground=_mean(objects) if background is not None else None,
            pixel_accuracy=float(right.sum() / total),
            per_class=tuple(
                ClassIou(name=name, pixels=float(support[i] / total), iou=ious[i])
                for i, name in enumerate(self.classes)
            ),
        )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
