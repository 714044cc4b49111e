"""Classification: timm's transforms, cross-entropy, top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import device, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import default_collate

from lolvit.accuracy import Score
from lolvit.manifest import Preprocessing
from lolvit_data.dataset import Dataset, Split, Subset, even_share
from lolvit_data.table import open_dataset
from lolvit_training.batches import AugmentedDataset
from lolvit_training.distributed import ProcessGroup
from lolvit_training.losses import loss_of
from lolvit_training.objectives import Loss
from lolvit_training.recipe import Recipe
from lolvit_training.scoring import evaluate_eager


class ClassificationObjective:
    """Images with one label each."""

    def open(self, source: str, split: Split) -> Dataset:
        """Open a split of a data set."""
        return open_dataset(source, split)

    def limited(self, dataset: Dataset, count: int) -> Dataset:
        """Return about `count` images, stratified by class."""
        return Subset(dataset, tuple(even_share(dataset.labels, count)), dataset.notes)

    def count(self, dataset: Dataset) -> int:
        """Return the number of images."""
        return len(dataset.labels)

    def colors(self, dataset: Dataset) -> None:
        """Return None: nothing is drawn."""

    def samples(
        self,
        dataset: Dataset,
        recipe: Recipe,
        preprocessing: Preprocessing,
        size: tuple[int, int],
    ) -> TorchDataset[Any]:
        """Return augmented images (3, H, W) with labels."""
        return AugmentedDataset(dataset, recipe, preprocessing, size)

    def join(self, samples: list[Any]) -> Any:
        """Return images and labels."""
        return default_collate(samples)

    def loss(
        self, recipe: Recipe, classes: int, preprocessing: Preprocessing, device: device
    ) -> Loss:
        """Return the recipe's loss."""
        return loss_of(recipe, classes, preprocessing, device)

    def evaluate(
        self,
        model: nn.Module,
        dataset: Dataset,
        preprocessing: Preprocessing,
        processes: ProcessGroup,
        workers: int,
    ) -> Score:
        """Return a model's accuracy."""
        return evaluate_eager(model, dataset, preprocessing, processes, workers=workers)

    def figures(self, score: Score) -> dict[str, float]:
        """Return the top-1 accuracy and the loss."""
        return {"test_top1": score.top1, "test_loss": score.loss}

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the loss and the top-1 accuracy."""
        return f"test loss {figures['test_loss']:.4f}, top-1 {figures['test_top1']:.2%}"

    def summary(self, score: Score) -> str:
        """Return the accuracies and the loss."""
        top5 = f", top-5 {score.top5:.2%}" if score.top5 is not None else ""
        return f"top-1 {score.top1:.2%}{top5}, loss {score.loss:.4f} on {score.images} test images"


OBJECTIVE = ClassificationObjective()
