"""Detection: torchvision's transforms of images with boxes, task-aligned assignment, COCO's AP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, device, nn
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors

from lolvit.accuracy import DetectionScore
from lolvit.manifest import Preprocessing
from lolvit.models.heads.detection import DetectionHead
from lolvit_data.annotations import AnnotatedDataset
from lolvit_data.collectors import BoxCollector
from lolvit_data.detection_metrics import DetectionMetrics
from lolvit_training.batches import SampleKey
from lolvit_training.dense import AnnotatedObjective, AnnotatedSamples, collect
from lolvit_training.detection_loss import BOX, CLASS, COLUMNS, CROWD, DetectionLoss
from lolvit_training.distributed import ProcessGroup
from lolvit_training.objectives import Evaluation, Loss
from lolvit_training.recipe import Recipe


class BoxSamples(AnnotatedSamples):
    """Images (3, H, W) with targets (M, 6)."""

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        image, objects = self.dataset.image(key[1]), self.dataset.objects(key[1])
        boxes = tv_tensors.BoundingBoxes(
            torch.from_numpy(objects.boxes).float(), format="XYXY",
            canvas_size=(image.height, image.width),
        )  # fmt: skip
        labels, crowd = torch.from_numpy(objects.classes), torch.from_numpy(objects.crowd)
        pixels, boxes, labels, crowd = self.augmented(key, image, boxes, labels, crowd)
        target = torch.zeros(len(boxes), COLUMNS)
        target[:, CLASS], target[:, BOX], target[:, CROWD] = labels, boxes, crowd
        return pixels, target


def join_targets(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return images (B, 3, H, W) and targets (B, M, 6), filled up with the class -1."""
    most = max(1, *(len(target) for _, target in samples))
    targets = torch.full((len(samples), most, COLUMNS), -1.0)
    for row, (_, target) in zip(targets, samples, strict=True):
        row[: len(target)] = target
    return torch.stack([image for image, _ in samples]), targets


class DetectionObjective(AnnotatedObjective):
    """Images with boxes."""

    task = "detection"

    def samples(
        self,
        dataset: AnnotatedDataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        size: tuple[int, int],
    ) -> TorchDataset[Any]:
        """Return augmented images (3, H, W) with targets (M, 6)."""
        return BoxSamples(dataset, recipe, preprocessing, size)

    def join(self, samples: list[Any]) -> Any:
        """Return images (B, 3, H, W) and targets (B, M, 6)."""
        return join_targets(samples)

    def loss(
        self, recipe: Recipe, classes: int, preprocessing: Preprocessing, device: device
    ) -> Loss:
        """Return the loss of boxes and scores."""
        return DetectionLoss(DetectionHead.strides)

    def evaluate(
        self,
        model: nn.Module,
        dataset: AnnotatedDataset,
        preprocessing: Preprocessing,
        processes: ProcessGroup,
        workers: int,
    ) -> Evaluation:
        """Return COCO's metrics."""
        found = self.detections(model, dataset, preprocessing, processes, workers)
        return self.evaluation(dataset, found.matched())

    def detections(
        self,
        model: nn.Module,
        dataset: AnnotatedDataset,
        preprocessing: Preprocessing,
        processes: ProcessGroup,
        workers: int,
    ) -> DetectionMetrics:
        """Return a model's detections on a data set beside its objects."""
        collector = BoxCollector(dataset, preprocessing.size, {})
        collect(collector, model, dataset, preprocessing, processes, workers)
        parts = processes.gather(collector.metrics)
        return DetectionMetrics(dataset.classes).merge(parts)

    def figures(self, score: DetectionScore) -> dict[str, float]:
        """Return the average precisions."""
        return {"test_ap": score.ap, "test_ap50": score.ap50}

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the average precisions."""
        return f"AP {figures['test_ap']:.1%}, AP50 {figures['test_ap50']:.1%}"

    def summary(self, score: DetectionScore) -> str:
        """Return the average precisions."""
        return (
            f"AP {score.ap:.1%}, AP50 {score.ap50:.1%}, AP75 {score.ap75:.1%} of {score.objects}"
            f" objects in {score.images} test images"
        )


OBJECTIVE = DetectionObjective()
