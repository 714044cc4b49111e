"""Classification metrics as sums that can be reduced over batches and processes, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassScore, Score, TeacherScore
from lolvit_data.dataset import Dataset
from lolvit_data.teacher_outputs import TaughtImages
from lolvit_training.correctness import Correctness

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


class TeacherMetrics:
    """Sums over images: the classes that are among the five highest of both the model and its
    teacher, and the Kullback-Leibler divergence."""

    def __init__(self) -> None:
        self.shared = 0.0
        self.divergence = 0.0

    def update(self, logits: npt.ArrayLike, outputs: npt.ArrayLike) -> None:
        """Add a batch: logits (B, classes) of the model, and those of the teacher."""
        own, teachers = np.asarray(logits, np.float64), np.asarray(outputs, np.float64)
        for ours, theirs in zip(_highest(own), _highest(teachers), strict=True):
            self.shared += len(set(ours) & set(theirs))
        log_own, log_teachers = _log_softmax(own), _log_softmax(teachers)  # (B, classes)
        self.divergence += float((np.exp(log_teachers) * (log_teachers - log_own)).sum())

    def compute(self, images: int) -> TeacherScore:
        """Return the means over images."""
        return TeacherScore(
            top5_overlap=self.shared / (TOP * images), kl=max(0.0, self.divergence / images)
        )


def _highest(scores: Array) -> list[list[int]]:
    """Return the `TOP` classes with the highest scores of each row (B, classes)."""
    found: list[list[int]] = np.argpartition(scores, -TOP, axis=1)[:, -TOP:].tolist()
    return found


def _log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


class DatasetMetrics:
    """All metrics of a model on a data set: also which images it gets right and, where the data set
    has a teacher's outputs, how far it agrees with them."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._classes = ClassificationMetrics(len(dataset.classes))
        self._teacher = TeacherMetrics() if isinstance(dataset, TaughtImages) else None
        self._right: Array = np.zeros(len(dataset.labels))

    def update(self, logits: npt.ArrayLike, indices: Sequence[int]) -> None:
        """Add a batch: logits (B, classes) of the images with these indices."""
        scores = np.asarray(logits)
        labels = [self._dataset.labels[index] for index in indices]
        self._classes.update(scores, labels)
        self._right[list(indices)] = scores.argmax(axis=1) == labels
        if self._teacher is not None and isinstance(self._dataset, TaughtImages):
            self._teacher.update(scores, self._dataset.outputs_of(indices))

    def reduce(self, add: Callable[[Array], Array]) -> None:
        """Replace all sums by what `add` makes of them: their sums over processes, each of which
        has seen other images."""
        teachers = self._teacher
        own = [] if teachers is None else [teachers.shared, teachers.divergence]
        sums = add(np.concatenate([own, self._right, self._classes.state()]))
        if teachers is not None:
            teachers.shared, teachers.divergence = float(sums[0]), float(sums[1])
        self._right, rest = np.split(sums[len(own) :], [len(self._right)])
        self._classes = ClassificationMetrics.from_state(rest)

    def compute(self) -> Score:
        """Return the metrics of the images that were added."""
        score = self._classes.compute(self._dataset.classes)
        if self._teacher is None:
            return score
        return score.model_copy(update={"teacher": self._teacher.compute(score.images)})

    def correctness(self) -> Correctness:
        """Return which images of the data set, all of which were added, the model gets right."""
        return Correctness.of(self._dataset.name, self._dataset.labels, self._right > 0)
