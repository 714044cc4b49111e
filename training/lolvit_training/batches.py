"""Training batches: timm's transforms on a random-access data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from timm.data import Mixup, create_transform
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit_data.dataset import Dataset
from lolvit_data.teacher_outputs import TaughtImages
from lolvit_training.distributed import ProcessGroup
from lolvit_training.recipe import Augmentation, Recipe
from lolvit_training.seeding import IMAGE, seed_everything, shuffled

SampleKey = tuple[int, int]  # epoch, index


class LoadFailure:
    """An image that can't be read, in place of its batch: torch would put the whole traceback of a
    worker into the message of the exception that it raises in the main process."""

    def __init__(self, error: UserError) -> None:
        self.what, self.where, self.remedy = error.what, error.where, error.remedy

    def error(self) -> UserError:
        """Return the error as it was raised."""
        return UserError(self.what, where=self.where, remedy=self.remedy)


class ReportingDataset(TorchDataset[Any]):
    """A data set whose unreadable images are `LoadFailure`s, for a loader with `collate`."""

    def __init__(self, dataset: TorchDataset[Any]) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._dataset[key]
        except UserError as error:
            return LoadFailure(error)


def collate(samples: list[Any], join: Callable[[list[Any]], Any] = default_collate) -> Any:
    """Return the batch that `join` makes of samples, or the first failure among them."""
    failure = next((sample for sample in samples if isinstance(sample, LoadFailure)), None)
    return join(samples) if failure is None else failure


def loaded(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield a loader's batches.

    Raises:
        UserError: an image can't be read; with workers the message is the same as without.
    """
    for batch in loader:
        if isinstance(batch, LoadFailure):
            raise batch.error()
        yield batch


class AugmentedDataset(TorchDataset[tuple[Tensor, int | Tensor]]):
    """Images (3, H, W) with labels, or with a teacher's logits (classes,); augmented as a function
    of (seed, epoch, index)."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        size: tuple[int, int],
    ) -> None:
        self._dataset, self._seed = dataset, recipe.seed
        self._transform = _transform(recipe.augmentation, preprocessing, size)

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, int | Tensor]:
        epoch, index = key
        image = self._dataset.image(index)
        seed_everything(IMAGE, self._seed, epoch, index)
        return self._transform(image), self._target(index)

    def _target(self, index: int) -> int | Tensor:
        if isinstance(self._dataset, TaughtImages):
            return torch.from_numpy(self._dataset.outputs_of([index])[0])
        return self._dataset.labels[index]


def _transform(
    augmentation: Augmentation, preprocessing: Preprocessing, size: tuple[int, int]
) -> Any:
    return create_transform(
        input_size=(3, *size),
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
class EpochBatchSampler:
    """Batch sampler: this rank's part of each batch of an epoch, from step `start` on."""

    images: int
    recipe: Recipe
    epoch: int
    start: int
    processes: ProcessGroup

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = shuffled(self.images, self.recipe.seed, self.epoch)
        size = self.recipe.batch_size
        for step in range(self.start, len(self) + self.start):
            batch = order[step * size : (step + 1) * size]
            yield [(self.epoch, index) for index in self.processes.shard(batch)]

    def __len__(self) -> int:
        return self.images // self.recipe.batch_size - self.start


def epoch_loader(
    samples: TorchDataset[Any],
    batches: EpochBatchSampler,
    workers: int,
    join: Callable[[list[Any]], Any] = default_collate,
) -> DataLoader[Any]:
    """Return the data loader of one epoch of augmented images with targets, which `join` makes
    batches of; the last incomplete batch is dropped, and the order differs in every epoch."""
    return DataLoader(
        ReportingDataset(samples),
        batch_sampler=batches,
        collate_fn=partial(collate, join=join),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )


def build_mixup(recipe: Recipe, classes: int) -> Mixup | None:
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
