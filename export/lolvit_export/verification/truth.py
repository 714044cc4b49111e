"""What is known of images that artifacts are verified on: labels, or boxes and masks. The accuracy
that an artifact loses against eager PyTorch is measured by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from lolvit.accuracy import DetectionScore
from lolvit.placement import Placement
from lolvit.tasks import Outputs, Task
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
        pairs = zip(outputs, self.values, strict=True)
        right = [task.is_right(found, label) for found, label in pairs]
        if any(each is None for each in right):
            return None
        return 100 * sum(map(bool, right)) / len(right)


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
