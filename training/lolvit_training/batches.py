"""Batches of augmented images: timm's transforms on a data set that any process may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from timm.data import Mixup, create_transform
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lolvit.manifest import Preprocessing
from lolvit_data.dataset import Dataset
from lolvit_training.processes import Processes
from lolvit_training.randomness import IMAGE, seed_everything, shuffled
from lolvit_training.recipe import Augmentation, Recipe

Place = tuple[int, int]  # epoch, index


class Augmented(TorchDataset[tuple[Tensor, int]]):
    """Images (3, side, side) with labels; an epoch's view of an image is always the same one."""

    def __init__(
        self, dataset: Dataset, recipe: Recipe, preprocessing: Preprocessing, side: int
    ) -> None:
        self._dataset, self._seed = dataset, recipe.seed
        self._transform = _transform(recipe.augmentation, preprocessing, side)

    def __getitem__(self, place: Place) -> tuple[Tensor, int]:
        epoch, index = place
        image = self._dataset.image(index)
        seed_everything(IMAGE, self._seed, epoch, index)
        return self._transform(image), self._dataset.labels[index]


def _transform(augmentation: Augmentation, preprocessing: Preprocessing, side: int) -> Any:
    return create_transform(
        input_size=(3, side, side),
        is_training=True,
        scale=augmentation.scale,
        ratio=augmentation.ratio,
        hflip=augmentation.hflip,
        color_jitter=augmentation.color_jitter,
        auto_augment=augmentation.auto_augment,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        re_prob=augmentation.random_erasing,
        re_mode="pixel",
    )


@dataclass(frozen=True)
class EpochBatches:
    """The places of one process's part of each batch of an epoch, from `start` on."""

    images: int
    recipe: Recipe
    epoch: int
    start: int
    processes: Processes

    def __iter__(self) -> Iterator[list[Place]]:
        order = shuffled(self.images, self.recipe.seed, self.epoch)
        size = self.recipe.batch_size
        for step in range(self.start, len(self) + self.start):
            batch = order[step * size : (step + 1) * size]
            yield [(self.epoch, index) for index in self.processes.share(batch)]

    def __len__(self) -> int:
        return self.images // self.recipe.batch_size - self.start


def epoch_loader(
    dataset: Dataset,
    recipe: Recipe,
    preprocessing: Preprocessing,
    batches: EpochBatches,
    workers: int,
) -> DataLoader[tuple[Tensor, int]]:
    """Return a loader of the batches of one epoch; the last images, too few for a batch, are in
    another epoch's batches."""
    side = recipe.size_at(batches.epoch)
    return DataLoader(
        Augmented(dataset, recipe, preprocessing, side),
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )


def mixing(recipe: Recipe, classes: int) -> Mixup | None:
    """Return timm's mixup and cutmix, or None where the recipe has neither."""
    augmentation = recipe.augmentation
    if not augmentation.mixes:
        return None
    return Mixup(
        mixup_alpha=augmentation.mixup,
        cutmix_alpha=augmentation.cutmix,
        label_smoothing=augmentation.smoothing,
        num_classes=classes,
    )
