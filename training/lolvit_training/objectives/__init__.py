"""What training needs of a task: its data, augmentation, loss and metrics. One task is one file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, device, nn
from torch.utils.data import Dataset as TorchDataset

from lolvit.accuracy import AnyScore
from lolvit.manifest import Preprocessing
from lolvit_data.dataset import Split
from lolvit_training.correctness import Correctness
from lolvit_training.distributed import ProcessGroup
from lolvit_training.jackknife import Jackknife
from lolvit_training.recipe import Recipe

# (images (B, 3, H, W) or their features, the model's outputs, targets (B, ...)) -> loss
Loss = Callable[[Any, Any, Tensor], Tensor]


class TrainingSet(Protocol):
    """What all data sets have."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes to print, one line each: what was left out, and why."""


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on a data set, and what intervals are computed from: of a classifier the
    images that it gets right, of other models what returns the metrics without groups of images;
    None: there are too few images."""

    score: AnyScore
    correctness: Correctness | None = None
    jackknife: Callable[[], Jackknife] | None = None


class Objective(Protocol):
    """The interface of a task's training."""

    def open(self, source: str, split: Split) -> TrainingSet:
        """Open a split of a data set.

        Raises:
            UserError: there is none, or it is not for the task.
        """

    def limited(self, dataset: Any, count: int) -> TrainingSet:
        """Return about `count` images of a data set, the same ones each time."""

    def count(self, dataset: Any) -> int:
        """Return the number of images."""

    def colors(self, dataset: Any) -> Sequence[str] | None:
        """Return the colours of the classes (#rrggbb), where the data defines them."""

    def samples(
        self, dataset: Any, recipe: Recipe, preprocessing: Preprocessing, size: tuple[int, int]
    ) -> TorchDataset[Any]:
        """Return augmented images (3, H, W) of `size` with targets, by (epoch, index)."""

    def join(self, samples: list[Any]) -> Any:
        """Return the batch of samples: images (B, 3, H, W) and targets (B, ...)."""

    def loss(
        self, recipe: Recipe, classes: int, preprocessing: Preprocessing, device: device
    ) -> Loss:
        """Return the recipe's loss."""

    def evaluate(
        self,
        model: nn.Module,
        dataset: Any,
        preprocessing: Preprocessing,
        processes: ProcessGroup,
        workers: int,
    ) -> Evaluation:
        """Return a model's metrics on a data set, the same for any number of processes."""

    def figures(self, score: Any) -> dict[str, float]:
        """Return the metrics that are logged after each epoch, by names that begin with `test_`;
        the most important one first."""

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return these metrics as a part of a line."""

    def summary(self, score: Any) -> str:
        """Return a finished run's metrics as one line."""


def find_objective(task: str) -> Objective:
    """Return the objective of a recipe's task."""
    objective: Objective = importlib.import_module(f"{__name__}.{task}").OBJECTIVE
    return objective
