"""What training of detection and segmentation shares: opening and augmenting annotated data, and
eager evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from lolvit.manifest import Preprocessing
from lolvit.models.modes import eval_mode
from lolvit.placement import Placement
from lolvit_data.annotated import open_annotated
from lolvit_data.annotations import AnnotatedDataset, limited
from lolvit_data.collectors import Collector
from lolvit_data.dataset import Split
from lolvit_runtimes.preprocessing import normalize, placement_of, to_pixels
from lolvit_training.batches import ReportingDataset, SampleKey, collate, loaded
from lolvit_training.distributed import ProcessGroup
from lolvit_training.jackknife import DenseMetrics, Jackknife
from lolvit_training.objectives import Evaluation
from lolvit_training.recipe import Augmentation, Recipe
from lolvit_training.seeding import IMAGE, seed_everything

_SMALLEST_BOX = 4  # pixels a side: what is left of a smaller one shows nothing
_BATCH = 16


class DenseTransform:
    """Augments a photo together with its boxes or its mask: a random part of it, stretched to
    `size` (H, W), mirrored, with other colours; normalized."""

    def __init__(
        self, augmentation: Augmentation, preprocessing: Preprocessing, size: tuple[int, int]
    ) -> None:
        jitter = augmentation.color_jitter
        self._geometry = v2.Compose(
            [
                v2.RandomResizedCrop(
                    size, scale=augmentation.scale, ratio=augmentation.ratio, antialias=True
                ),
                v2.RandomHorizontalFlip(augmentation.hflip),
                v2.ColorJitter(jitter, jitter, jitter, min(0.5, jitter / 4)),
                v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
                v2.Normalize(preprocessing.mean, preprocessing.std),
                v2.ClampBoundingBoxes(),
            ]
        )

    def __call__(self, photo: Image.Image, target: Any, *fields: Tensor) -> tuple[Any, ...]:
        """Return the image (3, H, W), and the target: a mask (H, W), or boxes (M, 4) with
        `fields` (M,), without those of which nothing is left."""
        image = tv_tensors.Image(torch.from_numpy(np.array(photo)).permute(2, 0, 1))
        pixels, changed = self._geometry(image, target)
        pixels = pixels.as_subclass(Tensor)
        if isinstance(target, tv_tensors.Mask):
            return pixels, changed
        boxes = changed.as_subclass(Tensor)
        kept = (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST_BOX).all(1)
        return pixels, boxes[kept], *(field[kept] for field in fields)


class AnnotatedSamples(TorchDataset[tuple[Tensor, Tensor]]):
    """Images (3, H, W) of `size` with targets, augmented as a function of (seed, epoch, index)."""

    def __init__(
        self,
        dataset: AnnotatedDataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        size: tuple[int, int],
    ) -> None:
        self.dataset, self._seed = dataset, recipe.seed
        self._transform = DenseTransform(recipe.augmentation, preprocessing, size)

    def augmented(
        self, key: SampleKey, photo: Image.Image, target: Any, *fields: Tensor
    ) -> tuple[Any, ...]:
        """Return what `DenseTransform` makes of an image's photo, target and fields."""
        epoch, index = key
        seed_everything(IMAGE, self._seed, epoch, index)
        return self._transform(photo, target, *fields)


class AnnotatedObjective:
    """What the objectives of data with boxes or masks have in common."""

    task: ClassVar[str]

    def open(self, source: str, split: Split) -> AnnotatedDataset:
        """Open a split of a data set for the task."""
        return open_annotated(source, split, self.task)

    def limited(self, dataset: AnnotatedDataset, count: int) -> AnnotatedDataset:
        """Return at most `count` images, evenly spread over the data set."""
        return limited(dataset, count)

    def count(self, dataset: AnnotatedDataset) -> int:
        """Return the number of images."""
        return len(dataset)

    def colors(self, dataset: AnnotatedDataset) -> tuple[str, ...] | None:
        """Return the colours of the classes."""
        return dataset.colors

    def evaluation(self, dataset: AnnotatedDataset, metrics: DenseMetrics) -> Evaluation:
        """Return a model's metrics on all images of a data set."""
        score = metrics.compute()
        if len(dataset) < 2:
            return Evaluation(score)
        return Evaluation(score, jackknife=lambda: Jackknife.of(dataset, score, metrics))


class _Photos(TorchDataset[tuple[npt.NDArray[np.float32], int, int]]):
    """Images (3, H, W) as an app makes them, each with its photo's height and width."""

    def __init__(
        self, dataset: AnnotatedDataset, indices: Sequence[int], preprocessing: Preprocessing
    ) -> None:
        self._dataset, self._indices, self._preprocessing = dataset, indices, preprocessing

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: int) -> tuple[npt.NDArray[np.float32], int, int]:
        photo = self._dataset.image(self._indices[place], self._preprocessing.color)
        pixels = to_pixels(photo, self._preprocessing)
        return normalize(pixels, self._preprocessing)[0], photo.height, photo.width


def collect(
    collector: Collector,
    model: nn.Module,
    dataset: AnnotatedDataset,
    preprocessing: Preprocessing,
    processes: ProcessGroup,
    workers: int,
) -> None:
    """Give a collector a model's outputs for this process's share of the images."""
    for prediction in _outputs(model, dataset, preprocessing, processes, workers):
        collector.add(*prediction)


def _outputs(
    model: nn.Module,
    dataset: AnnotatedDataset,
    preprocessing: Preprocessing,
    processes: ProcessGroup,
    workers: int,
) -> Iterator[tuple[int, dict[str, npt.NDArray[np.float32]], Placement]]:
    """Yield this process's share of the images: index, the model's outputs (1, ...) by name, and
    where the photo lies in the input."""
    own = processes.shard(list(range(len(dataset))))
    photos = ReportingDataset(_Photos(dataset, own, preprocessing))
    loader = DataLoader(photos, batch_size=_BATCH, collate_fn=collate, num_workers=workers)
    done = 0
    with eval_mode(model), torch.no_grad():
        for images, heights, widths in loaded(loader):
            outputs = {
                name: tensor.float().cpu().numpy()
                for name, tensor in model(images.to(processes.device)).items()
            }
            for row, size in enumerate(zip(heights.tolist(), widths.tolist(), strict=True)):
                one = {name: array[row : row + 1] for name, array in outputs.items()}
                yield own[done + row], one, placement_of(size, preprocessing)
            done += len(images)
