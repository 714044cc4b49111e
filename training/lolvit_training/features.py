"""Features of a frozen backbone, computed once: an epoch that trains the head alone then takes a
fraction of the time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, device, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lolvit.errors import UserError
from lolvit.models.dense import DenseModel, feature_maps
from lolvit.models.modes import eval_mode
from lolvit_training.batches import ReportingDataset, SampleKey, collate, loaded
from lolvit_training.objectives import Objective

_BATCH = 32


@dataclass(frozen=True)
class Features:
    """A batch of images of `size` (height, width) as a backbone's maps (B, C_i, H/s_i, W/s_i).

    Where the head alone is trained it stands for the images (B, 3, H, W), whose shape it has.
    """

    maps: tuple[Tensor, ...]
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the images."""
        return len(self.maps[0]), 3, *self.size

    def to(self, where: device) -> Features:
        """Return the features on a device."""
        return Features(tuple(each.to(where) for each in self.maps), self.size)

    def chunk(self, parts: int) -> list[Features]:
        """Return parts of the batch, as `Tensor.chunk` does."""
        split = zip(*(each.chunk(parts) for each in self.maps), strict=True)
        return [Features(tuple(maps), self.size) for maps in split]


class HeadOnFeatures(nn.Module):
    """A model's head, on features."""

    def __init__(self, model: DenseModel) -> None:
        super().__init__()
        self.head = model.head

    def forward(self, features: Features) -> dict[str, Tensor]:
        """Return the head's outputs by name."""
        outputs: dict[str, Tensor] = self.head(list(features.maps))
        return outputs


@dataclass(frozen=True)
class _Record:
    """Where a sample is in the file, and the shape and dtype of its target, which follows its
    features."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class FeatureCache:
    """The features, in half precision, and targets of augmented images, by (view, index): augmented
    as in the epoch of the view's number. They are kept in a file without a name in `folder`."""

    def __init__(
        self, model: DenseModel, objective: Objective, folder: Path, where: device
    ) -> None:
        self._model, self._objective, self._device = model, objective, where
        self._shapes: list[tuple[int, ...]] = []
        self._size = (0, 0)
        self._records: dict[SampleKey, _Record] = {}
        self._views: set[int] = set()
        folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what is written can be read by its offset at once.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - see close
        self._end = 0

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def has(self, view: int) -> bool:
        """Whether a view was computed."""
        return view in self._views

    def compute(self, samples: TorchDataset[Any], count: int, view: int, workers: int) -> None:
        """Compute the features of a view of `count` images.

        Raises:
            UserError: an image can't be read, or the features exceed half precision.
            OSError: the disk is full.
        """
        keys = [(view, index) for index in range(count)]
        loader = DataLoader(
            ReportingDataset(samples),
            batch_sampler=[keys[i : i + _BATCH] for i in range(0, count, _BATCH)],
            collate_fn=partial(collate, join=_apart),
            num_workers=workers,
        )
        done = 0
        with eval_mode(self._model), torch.no_grad():
            for images, targets in loaded(loader):
                maps = feature_maps(self._model.backbone, images.to(self._device))
                self._shapes = [tuple(each.shape[1:]) for each in maps]
                self._size = int(images.shape[2]), int(images.shape[3])
                rows = torch.cat([each.flatten(1) for each in maps], 1).half().cpu()
                if not bool(torch.isfinite(rows).all()):
                    raise UserError(
                        "the backbone's features exceed half precision",
                        remedy="give --cached-views 0",
                    )
                for row, target in zip(rows, targets, strict=True):
                    self._append(keys[done], row, target)
                    done += 1
        self._views.add(view)

    def batches(
        self, batches: Iterable[Sequence[SampleKey]], view: int
    ) -> Iterator[tuple[Features, Any]]:
        """Yield the features and joined targets of batches of images by (epoch, index)."""
        for batch in batches:
            rows, targets = self._objective.join([self._read((view, i)) for _, i in batch])
            maps, start = [], 0
            for shape in self._shapes:
                extent = int(np.prod(shape))
                part = rows[:, start : start + extent]
                maps.append(part.float().reshape(len(rows), *shape))
                start += extent
            yield Features(tuple(maps), self._size), targets

    def _append(self, key: SampleKey, row: Tensor, target: Tensor) -> None:
        array = target.numpy()
        data = row.numpy().tobytes() + array.tobytes()
        self._file.seek(self._end)
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])
        self._records[key] = _Record(self._end, array.shape, array.dtype.str)
        self._end += len(data)

    def _read(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        record = self._records[key]
        count = sum(int(np.prod(shape)) for shape in self._shapes)
        self._file.seek(record.offset)
        row = self._array(np.dtype(np.float16), (count,))
        return torch.from_numpy(row), torch.from_numpy(
            self._array(np.dtype(record.dtype), record.shape)
        )

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Read an array at the file's position."""
        data = self._file.read(int(np.prod(shape)) * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape(shape).copy()  # writable, as torch wants it


def _apart(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor]]:
    """Join images, and leave their targets apart."""
    return torch.stack([image for image, _ in samples]), [target for _, target in samples]
