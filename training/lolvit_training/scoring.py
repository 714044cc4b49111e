"""A model in eager PyTorch on a split, shared between processes: each image is counted once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lolvit.accuracy import Score
from lolvit.manifest import Preprocessing
from lolvit.models.modes import evaluating
from lolvit_data.dataset import Dataset
from lolvit_runtimes.preprocessing import normalize, to_pixels
from lolvit_training.metrics import Counts
from lolvit_training.processes import Processes

Logits = npt.NDArray[np.float32]


class Prepared(TorchDataset[npt.NDArray[np.float32]]):
    """Images (3, H, W) as an app prepares them, by the manifest's preprocessing."""

    def __init__(
        self, dataset: Dataset, indices: Sequence[int], preprocessing: Preprocessing
    ) -> None:
        self._dataset, self._indices, self._preprocess = dataset, indices, preprocessing

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: int) -> npt.NDArray[np.float32]:
        photo = self._dataset.image(self._indices[place])
        image: npt.NDArray[np.float32] = normalize(
            to_pixels(photo, self._preprocess), self._preprocess
        )[0]
        return image


def logits_of(
    model: nn.Module,
    dataset: Dataset,
    indices: Sequence[int],
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[tuple[Sequence[int], Logits]]:
    """Yield (indices, logits) of some images, batch after batch, from `model` in eval mode."""
    loader = DataLoader(
        Prepared(dataset, indices, preprocessing), batch_size=batch_size, num_workers=workers
    )
    done = 0
    with evaluating(model), torch.no_grad():
        for images in loader:
            logits = model(images.to(device)).float().cpu().numpy()  # (B, classes)
            yield indices[done : done + len(logits)], logits
            done += len(logits)


def score_eager(
    model: nn.Module,
    dataset: Dataset,
    preprocessing: Preprocessing,
    processes: Processes,
    *,
    workers: int = 0,
) -> Score:
    """Return the score of `model` on all of `dataset`, the same with any number of processes."""
    counts = Counts(len(dataset.classes))
    mine = processes.share(list(range(len(dataset.labels))))
    found = logits_of(model, dataset, mine, preprocessing, device=processes.device, workers=workers)
    for indices, logits in found:
        counts.add(logits, [dataset.labels[index] for index in indices])
    return Counts.of_array(processes.total(counts.as_array())).score(dataset.classes)
