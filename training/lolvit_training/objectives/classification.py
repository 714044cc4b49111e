"""Classification: timm's transforms, cross-entropy, top-1 accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import device, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import default_collate

from lolvit.accuracy import Score
from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit_data.dataset import Dataset, Split, limited
from lolvit_data.table import open_dataset
from lolvit_data.teacher_outputs import TaughtImages
from lolvit_training.batches import AugmentedDataset
from lolvit_training.distributed import ProcessGroup
from lolvit_training.losses import loss_of
from lolvit_training.objectives import Evaluation, Loss
from lolvit_training.recipe import Recipe
from lolvit_training.scoring import evaluate_eager


class ClassificationObjective:
    """Images with one label each."""

    def open(self, source: str, split: Split) -> Dataset:
        """Open a split of a data set."""
        return open_dataset(source, split)

    def limited(self, dataset: Dataset, count: int) -> Dataset:
        """Return about `count` images, stratified by class."""
        return limited(dataset, count)

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
        """Return augmented images (3, H, W) with labels, or with a teacher's outputs.

        Raises:
            UserError: images with a teacher's outputs are to be mixed, or to have another teacher.
        """
        if isinstance(dataset, TaughtImages):
            _check_taught(dataset, recipe)
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
    ) -> Evaluation:
        """Return a model's accuracy, and the images that it gets right."""
        metrics = evaluate_eager(model, dataset, preprocessing, processes, workers=workers)
        return Evaluation(metrics.compute(), metrics.correctness())

    def figures(self, score: Score) -> dict[str, float]:
        """Return the top-1 accuracy and the loss; with a teacher, whose top class is the right one,
        the overlap of the five highest classes, and the divergence as the loss."""
        if score.teacher is None:
            return {"test_top1": score.top1, "test_loss": score.loss}
        overlap, divergence = score.teacher.top5_overlap, score.teacher.kl
        return {"test_top1": score.top1, "test_top5_overlap": overlap, "test_loss": divergence}

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the loss and the top-1 accuracy, or the agreement with a teacher."""
        overlap = figures.get("test_top5_overlap")
        shared = "" if overlap is None else f", {overlap:.2%} of the teacher's five highest"
        return f"test loss {figures['test_loss']:.4f}, top-1 {figures['test_top1']:.2%}{shared}"

    def summary(self, score: Score) -> str:
        """Return the accuracies and the loss, or the agreement with a teacher."""
        if score.teacher is not None:
            return (
                f"the teacher's top class {score.top1:.2%}, of its five highest"
                f" {score.teacher.top5_overlap:.2%}, KL {score.teacher.kl:.4f} on"
                f" {score.images} test images"
            )
        top5 = f", top-5 {score.top5:.2%}" if score.top5 is not None else ""
        return f"top-1 {score.top1:.2%}{top5}, loss {score.loss:.4f} on {score.images} test images"


def _check_taught(dataset: TaughtImages, recipe: Recipe) -> None:
    """Check that a recipe leaves images with a teacher's outputs to that teacher.

    Raises:
        UserError: it does not.
    """
    if recipe.augmentation.mixes:
        raise UserError(
            "mixup and cutmix are not for images with a teacher's outputs",
            where=dataset.name,
            remedy="give --recipe agreement",
        )
    if recipe.distillation is not None:
        raise UserError(
            "has a teacher's outputs already", where=dataset.name, remedy="leave out --teacher"
        )


OBJECTIVE = ClassificationObjective()
