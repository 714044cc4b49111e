"""Counts that add up over images and processes, and the figures that follow from them: numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassScore, Score

Array = npt.NDArray[np.float64]
TOP = 5


class Counts:
    """Sums over images: of the loss, of top-5 hits, and the confusion matrix [class, answer]."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.loss = 0.0
        self.top5 = 0
        self.confusion: Array = np.zeros((classes, classes))

    def add(self, logits: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        """Count images: logits (B, classes) and labels (B,)."""
        scores = np.asarray(logits, np.float64)  # (B, classes)
        wanted = np.asarray(labels, np.int64)  # (B,)
        rows = np.arange(len(wanted))
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        self.loss += float((log_sum - shifted[rows, wanted]).sum())
        # Ties count as lost: a model that answers alike to everything finds nothing.
        better = (scores >= scores[rows, wanted][:, np.newaxis]).sum(axis=1) - 1
        self.top5 += int((better < TOP).sum())
        np.add.at(self.confusion, (wanted, scores.argmax(axis=1)), 1)

    def as_array(self) -> Array:
        """Return all sums as one vector, to be added to those of other processes."""
        return np.concatenate([[self.loss, self.top5], self.confusion.ravel()])

    @classmethod
    def of_array(cls, sums: Array) -> Counts:
        """Return the counts that `as_array` gave."""
        counts = cls(int(np.sqrt(len(sums) - 2)))
        counts.loss, counts.top5 = float(sums[0]), int(sums[1])
        counts.confusion = sums[2:].reshape(counts.classes, counts.classes)
        return counts

    def score(self, names: tuple[str, ...]) -> Score:
        """Return the figures: shares of 1, and the mean cross-entropy in nats."""
        images = int(self.confusion.sum())
        return Score(
            images=images,
            top1=float(np.trace(self.confusion) / images),
            top5=self.top5 / images if self.classes > TOP else None,
            loss=self.loss / images,
            per_class=tuple(self._of_class(index, name) for index, name in enumerate(names)),
        )

    def _of_class(self, index: int, name: str) -> ClassScore:
        here, answered = self.confusion[index].sum(), self.confusion[:, index].sum()
        right = self.confusion[index, index]
        return ClassScore(
            name=name,
            images=int(here),
            recall=float(right / here) if here else None,
            precision=float(right / answered) if answered else None,
        )
