"""Classification metrics as sums that can be reduced over batches and processes, in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassScore, Score

Array = npt.NDArray[np.float64]
TOP = 5


class ClassificationMetrics:
    """Sums over images: loss, top-5 hits, and the confusion matrix [class, prediction]."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.loss = 0.0
        self.top5 = 0
        self.confusion: Array = np.zeros((classes, classes))

    def update(self, logits: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        """Add a batch: logits (B, classes) and labels (B,)."""
        scores = np.asarray(logits, np.float64)  # (B, classes)
        targets = np.asarray(labels, np.int64)  # (B,)
        rows = np.arange(len(targets))
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        self.loss += float((log_sum - shifted[rows, targets]).sum())
        # Ties count as misses: a model with constant logits gets no top-5 hit.
        better = (scores >= scores[rows, targets][:, np.newaxis]).sum(axis=1) - 1
        self.top5 += int((better < TOP).sum())
        np.add.at(self.confusion, (targets, scores.argmax(axis=1)), 1)

    def state(self) -> Array:
        """Return all sums as one vector, to be all-reduced over processes."""
        return np.concatenate([[self.loss, self.top5], self.confusion.ravel()])

    @classmethod
    def from_state(cls, sums: Array) -> ClassificationMetrics:
        """Return the metrics whose `state` this is."""
        metrics = cls(int(np.sqrt(len(sums) - 2)))
        metrics.loss, metrics.top5 = float(sums[0]), int(sums[1])
        metrics.confusion = sums[2:].reshape(metrics.classes, metrics.classes)
        return metrics

    def compute(self, names: tuple[str, ...]) -> Score:
        """Return the metrics: fractions of 1, and the mean cross-entropy in nats."""
        images = int(self.confusion.sum())
        return Score(
            images=images,
            top1=float(np.trace(self.confusion) / images),
            top5=self.top5 / images if self.classes > TOP else None,
            loss=self.loss / images,
            per_class=tuple(self._per_class(index, name) for index, name in enumerate(names)),
        )

    def _per_class(self, index: int, name: str) -> ClassScore:
        support, predicted = self.confusion[index].sum(), self.confusion[:, index].sum()
        correct = self.confusion[index, index]
        return ClassScore(
            name=name,
            images=int(support),
            recall=float(correct / support) if support else None,
            precision=float(correct / predicted) if predicted else None,
        )
