"""Mean intersection over union, as sums that can be reduced over images and processes."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassIou, SegmentationScore
from lolvit_data.annotations import GROUPS, IGNORE, Mask

BACKGROUND = "background"


Counts = npt.NDArray[np.int64]


class SegmentationMetrics:
    """Confusion matrices [group of images, class, prediction] of pixels, and the number of images
    of each group; a prediction may be none at all."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        count = len(classes)
        self.images: Counts = np.zeros(GROUPS, np.int64)
        self.confusion: Counts = np.zeros((GROUPS, count, count + 1), np.int64)

    def update(self, image: int, mask: Mask, found: Mask) -> None:
        """Add an image: its index, its classes (H, W), and the predicted ones; `IGNORE` is not
        labelled, or not seen by the model, which counts as wrong."""
        count = len(self.classes)
        labelled = mask != IGNORE
        claimed = np.minimum(found[labelled].astype(np.int64), count)
        pairs = mask[labelled].astype(np.int64) * (count + 1) + claimed
        counted = np.bincount(pairs, minlength=count * (count + 1)).reshape(count, -1)
        self.confusion[image % GROUPS] += counted
        self.images[image % GROUPS] += 1

    def state(self) -> npt.NDArray[np.float64]:
        """Return all sums as one vector, to be all-reduced over processes."""
        return np.concatenate([self.images, self.confusion.ravel()]).astype(np.float64)

    @classmethod
    def from_state(
        cls, classes: tuple[str, ...], sums: npt.NDArray[np.float64]
    ) -> SegmentationMetrics:
        """Return the metrics whose `state` this is."""
        metrics = cls(classes)
        images, confusion = np.split(sums.astype(np.int64), [GROUPS])
        metrics.images, metrics.confusion = images, confusion.reshape(metrics.confusion.shape)
        return metrics

    def truth_sha256(self) -> str:
        """Return the digest of what the confusion matrices say of all images' masks: the number of
        images and of pixels of each class, in each group."""
        counts = np.column_stack([self.images, self.confusion.sum(2)])
        return hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()

    def compute(self) -> SegmentationScore:
        """Return the metrics of the classes that are there or were found."""
        return self._compute(int(self.images.sum()), self.confusion.sum(0))

    def without_groups(self) -> tuple[SegmentationScore, ...]:
        """Return the metrics of all images but those of each group, of groups that have any."""
        images, confusion = self.images.sum(), self.confusion.sum(0)
        return tuple(
            self._compute(int(images - self.images[group]), confusion - self.confusion[group])
            for group in np.flatnonzero(self.images)
        )

    def _compute(self, images: int, confusion: Counts) -> SegmentationScore:
        right = np.diag(confusion)
        support = confusion.sum(1)
        union = support + confusion[:, :-1].sum(0) - right
        total = max(1, int(support.sum()))
        ious = [float(r / u) if u else None for r, u in zip(right, union, strict=True)]
        background = self.classes.index(BACKGROUND) if BACKGROUND in self.classes else None
        known = [iou for iou in ious if iou is not None]
        objects = [iou for i, iou in enumerate(ious) if iou is not None and i != background]
        return SegmentationScore(
            images=images,
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
