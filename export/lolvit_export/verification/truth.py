"""What is known of images that artifacts are verified on: labels, or boxes and masks. The accuracy
that an artifact loses against eager PyTorch is measured by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from lolvit.accuracy import DetectionScore
from lolvit.jackknife import jackknife_variance
from lolvit.placement import Placement
from lolvit.tasks import ONE_SIDED_95, Outputs, Task
from lolvit_data.annotations import AnnotatedDataset, AnnotatedSubset
from lolvit_data.collectors import BoxCollector, DenseScore, MapCollector, collector_of

# With fewer images that are right or wrong, one of them is more than one percentage point; one with
# boxes or masks has much in it.
_MIN_LABELS, _MIN_ANNOTATED = 100, 30


class Truth(Protocol):
    """The truth about some images, in their order."""

    @property
    def metric(self) -> str:
        """The name of the accuracy: top1, ap or miou."""

    @property
    def is_enough(self) -> bool:
        """Whether there are enough images to measure a change of the accuracy."""

    def first(self, count: int | None) -> Self:
        """Return the truth about the first `count` images; None: about all."""

    def accuracy(self, task: Task, outputs: Sequence[Outputs]) -> float | None:
        """Return the accuracy of a model's outputs for the images in per cent; None if the task has
        none."""

    def chance(
        self, task: Task, references: Sequence[Outputs], outputs: Sequence[Outputs]
    ) -> float:
        """Return by how many percentage points an accuracy equal to the references' may be below it
        by chance, with 95 % confidence."""


@dataclass(frozen=True)
class Labels:
    """The class of each image."""

    values: tuple[int, ...]
    metric: str = field(default="top1", init=False)

    @property
    def is_enough(self) -> bool:
        """Whether one image is at most a percentage point."""
        return len(self.values) >= _MIN_LABELS

    def first(self, count: int | None) -> Labels:
        """Return the first labels."""
        return Labels(self.values[:count])

    def accuracy(self, task: Task, outputs: Sequence[Outputs]) -> float | None:
        """Return the share of images whose top class is their label."""
        right = self._right(task, outputs)
        return None if None in right else 100 * sum(map(bool, right)) / len(right)

    def chance(
        self, task: Task, references: Sequence[Outputs], outputs: Sequence[Outputs]
    ) -> float:
        """Return it from the images that only one of both has right: the change is a sum of as many
        steps up or down, as in McNemar's test."""
        pairs = zip(self._right(task, references), self._right(task, outputs), strict=True)
        return 100 * ONE_SIDED_95 * math.sqrt(sum(a != b for a, b in pairs)) / len(self.values)

    def _right(self, task: Task, outputs: Sequence[Outputs]) -> list[bool | None]:
        pairs = zip(outputs, self.values, strict=True)
        return [task.is_right(found, label) for found, label in pairs]


@dataclass(frozen=True)
class Annotations:
    """The boxes or masks of a data set's images; `placements` are where they lie in the input."""

    dataset: AnnotatedDataset
    placements: tuple[Placement, ...] = field(repr=False)

    @property
    def metric(self) -> str:
        """COCO's average precision, or the mean intersection over union."""
        return "ap" if self.dataset.task == "detection" else "miou"

    @property
    def is_enough(self) -> bool:
        """Whether there are as many images as the metrics vary little over."""
        return len(self.placements) >= _MIN_ANNOTATED

    def first(self, count: int | None) -> Annotations:
        """Return the first images' annotations."""
        placements = self.placements[:count]
        return Annotations(AnnotatedSubset(self.dataset, tuple(range(len(placements)))), placements)

    def accuracy(self, task: Task, outputs: Sequence[Outputs]) -> float:
        """Return the metric, on the photos."""
        return _per_cent(self._collected(task, outputs).compute())

    def chance(
        self, task: Task, references: Sequence[Outputs], outputs: Sequence[Outputs]
    ) -> float:
        """Return it from the metrics without each of some groups of images."""
        eager, own = (
            np.array([_per_cent(each) for each in self._collected(task, found).without_groups()])
            for found in (references, outputs)
        )
        return ONE_SIDED_95 * math.sqrt(jackknife_variance(own - eager))

    def _collected(self, task: Task, outputs: Sequence[Outputs]) -> BoxCollector | MapCollector:
        size = self.placements[0].size
        collector = collector_of(self.dataset, size, task.postprocessing(), by_size=False)
        for index, (found, placement) in enumerate(zip(outputs, self.placements, strict=True)):
            collector.add(index, found, placement)
        return collector


def _per_cent(score: DenseScore) -> float:
    return 100 * (score.ap if isinstance(score, DetectionScore) else score.miou)
