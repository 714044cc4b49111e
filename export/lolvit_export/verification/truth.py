"""What is known of images that artifacts are verified on: labels, or boxes and masks. The accuracy
that an artifact loses against eager PyTorch is measured by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from lolvit.accuracy import DetectionScore
from lolvit.placement import Placement
from lolvit.tasks import ONE_SIDED_95, Outputs, Task
from lolvit_data.annotations import AnnotatedDataset
from lolvit_data.collectors import collector_of

# With fewer images, one of them is more than one percentage point.
MIN_IMAGES = 100


class Truth(Protocol):
    """The truth about some images, in their order."""

    @property
    def metric(self) -> str:
        """The name of the accuracy: top1, ap or miou."""

    def __len__(self) -> int:
        """Return the number of images."""

    def first(self, count: int | None) -> Self:
        """Return the truth about the first `count` images; None: about all."""

    def accuracy(self, task: Task, outputs: Sequence[Outputs]) -> float | None:
        """Return the accuracy of a model's outputs for the images in per cent; None if the task has
        none."""

    def chance(
        self, task: Task, references: Sequence[Outputs], outputs: Sequence[Outputs]
    ) -> float:
        """Return by how many percentage points an accuracy equal to the references' may be below it
        by chance, with 95 % confidence; 0 where that isn't known."""


@dataclass(frozen=True)
class Labels:
    """The class of each image."""

    values: tuple[int, ...]
    metric: str = field(default="top1", init=False)

    def __len__(self) -> int:
        return len(self.values)

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
    """The boxes or masks of images of a data set; `placements` are where they lie in the input."""

    dataset: AnnotatedDataset
    indices: tuple[int, ...]
    placements: tuple[Placement, ...] = field(repr=False)

    @property
    def metric(self) -> str:
        """COCO's average precision, or the mean intersection over union."""
        return "ap" if self.dataset.task == "detection" else "miou"

    def __len__(self) -> int:
        return len(self.indices)

    def first(self, count: int | None) -> Annotations:
        """Return the first images' annotations."""
        return replace(self, indices=self.indices[:count], placements=self.placements[:count])

    def accuracy(self, task: Task, outputs: Sequence[Outputs]) -> float:
        """Return the metric, on the photos."""
        size = self.placements[0].size
        collector = collector_of(self.dataset, size, task.postprocessing())
        for index, found, placement in zip(self.indices, outputs, self.placements, strict=True):
            collector.add(index, found, placement)
        score = collector.compute()
        return 100 * (score.ap if isinstance(score, DetectionScore) else score.miou)

    def chance(
        self, task: Task, references: Sequence[Outputs], outputs: Sequence[Outputs]
    ) -> float:
        """Return 0: how far the metric varies is not known from its images."""
        return 0.0
