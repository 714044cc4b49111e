"""Segmentation: torchvision's transforms of images with masks, cross-entropy, mIoU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, device, nn
from torch.nn import functional as F
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import default_collate
from torchvision import tv_tensors

from lolvit.accuracy import SegmentationScore
from lolvit.manifest import Preprocessing
from lolvit_data.annotations import IGNORE, AnnotatedDataset
from lolvit_data.collectors import MapCollector
from lolvit_data.segmentation_metrics import SegmentationMetrics
from lolvit_training.batches import SampleKey
from lolvit_training.dense import AnnotatedObjective, AnnotatedSamples, collect
from lolvit_training.distributed import ProcessGroup
from lolvit_training.objectives import Evaluation, Loss
from lolvit_training.recipe import Recipe

AUXILIARY_WEIGHT = 0.4  # of the head on the map at stride 16, as in PSPNet (arXiv:1612.01105)


class MaskSamples(AnnotatedSamples):
    """Images (3, H, W) with classes (H, W)."""

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        mask = tv_tensors.Mask(torch.from_numpy(self.dataset.mask(key[1]).copy()))
        pixels, mask = self.augmented(key, self.dataset.image(key[1]), mask)
        return pixels, mask.as_subclass(Tensor)


def segmentation_loss(images: object, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled pixels: that of `logits` and, weighted, of
    `auxiliary`, upsampled to the targets (B, H, W)."""
    own = _entropy(outputs["logits"], targets)
    return own + AUXILIARY_WEIGHT * _entropy(outputs["auxiliary"], targets)


def _entropy(logits: Tensor, targets: Tensor) -> Tensor:
    size = (int(targets.shape[1]), int(targets.shape[2]))
    high = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
    summed = F.cross_entropy(high, targets.long(), ignore_index=IGNORE, reduction="sum")
    return summed / (targets != IGNORE).sum().clamp(min=1)


class SegmentationObjective(AnnotatedObjective):
    """Images with masks."""

    task = "segmentation"

    def samples(
        self,
        dataset: AnnotatedDataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        size: tuple[int, int],
    ) -> TorchDataset[Any]:
        """Return augmented images (3, H, W) with classes (H, W)."""
        return MaskSamples(dataset, recipe, preprocessing, size)

    def join(self, samples: list[Any]) -> Any:
        """Return images and masks."""
        return default_collate(samples)

    def loss(
        self, recipe: Recipe, classes: int, preprocessing: Preprocessing, device: device
    ) -> Loss:
        """Return the cross-entropy of both heads."""
        return segmentation_loss

    def evaluate(
        self,
        model: nn.Module,
        dataset: AnnotatedDataset,
        preprocessing: Preprocessing,
        processes: ProcessGroup,
        workers: int,
    ) -> Evaluation:
        """Return the mean intersection over union, on the photos' pixels."""
        collector = MapCollector(dataset, preprocessing.size, {})
        collect(collector, model, dataset, preprocessing, processes, workers)
        sums = processes.all_reduce(collector.metrics.state())
        return self.evaluation(dataset, SegmentationMetrics.from_state(dataset.classes, sums))

    def figures(self, score: SegmentationScore) -> dict[str, float]:
        """Return the mean intersection over union and the share of right pixels."""
        return {"test_miou": score.miou, "test_pixel_accuracy": score.pixel_accuracy}

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the mean intersection over union and the share of right pixels."""
        pixels = figures["test_pixel_accuracy"]
        return f"mIoU {figures['test_miou']:.1%}, {pixels:.1%} of pixels right"

    def summary(self, score: SegmentationScore) -> str:
        """Return the mean intersection over union and the share of right pixels."""
        without = (
            f" ({score.miou_foreground:.1%} without the background)"
            if score.miou_foreground is not None
            else ""
        )
        return (
            f"mIoU {score.miou:.1%}{without}, {score.pixel_accuracy:.1%} of pixels right in"
            f" {score.images} test images"
        )


OBJECTIVE = SegmentationObjective()
