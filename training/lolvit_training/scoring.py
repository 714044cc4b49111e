"""Evaluation in eager PyTorch, split over processes: each image is evaluated once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lolvit.manifest import Preprocessing
from lolvit.models.finite import check_outputs
from lolvit.models.modes import eval_mode
from lolvit_data.dataset import Dataset, ImageSource
from lolvit_runtimes.preprocessing import normalize, to_pixels
from lolvit_training.batches import ReportingDataset, collate, loaded
from lolvit_training.distributed import ProcessGroup
from lolvit_training.metrics import DatasetMetrics

Logits = npt.NDArray[np.float32]


class EvaluationDataset(TorchDataset[npt.NDArray[np.float32]]):
    """Images (3, H, W) preprocessed as an app does, by the manifest."""

    def __init__(
        self, dataset: ImageSource, indices: Sequence[int], preprocessing: Preprocessing
    ) -> None:
        self._dataset, self._indices, self._preprocess = dataset, indices, preprocessing

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: int) -> npt.NDArray[np.float32]:
        photo = self._dataset.image(self._indices[place], self._preprocess.color)
        image: npt.NDArray[np.float32] = normalize(
            to_pixels(photo, self._preprocess), self._preprocess
        )[0]
        return image


def predict_logits(
    model: nn.Module,
    dataset: ImageSource,
    indices: Sequence[int],
    preprocessing: Preprocessing,
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 0,
    where: str = "",
) -> Iterator[tuple[Sequence[int], Logits]]:
    """Yield (indices, logits) batch by batch, with `model` in eval mode.

    Raises:
        UserError: logits are not finite; the message begins with `where` and names the layer.
    """
    loader = DataLoader(
        ReportingDataset(EvaluationDataset(dataset, indices, preprocessing)),
        batch_size=batch_size,
        collate_fn=collate,
        num_workers=workers,
    )
    done = 0
    with eval_mode(model), torch.no_grad():
        for images in loaded(loader):
            images = images.to(device)
            outputs = model(images)
            check_outputs(model, images, outputs, where)
            logits = outputs.float().cpu().numpy()  # (B, classes)
            yield indices[done : done + len(logits)], logits
            done += len(logits)


def evaluate_eager(
    model: nn.Module,
    dataset: Dataset,
    preprocessing: Preprocessing,
    processes: ProcessGroup,
    *,
    workers: int = 0,
    where: str = "",
) -> DatasetMetrics:
    """Return the metrics of `model` on all of `dataset`, the same for any number of processes.

    Raises:
        UserError: as `predict_logits`.
    """
    metrics = DatasetMetrics(dataset)
    indices_here = processes.shard(list(range(len(dataset.labels))))
    found = predict_logits(
        model,
        dataset,
        indices_here,
        preprocessing,
        device=processes.device,
        workers=workers,
        where=where,
    )
    for indices, logits in found:
        metrics.update(logits, indices)
    metrics.reduce(processes.all_reduce)
    return metrics
