"""What a model is for: how its outputs become predictions, and how two sets of them compare.

A task is one file here, with a class that follows `Task` and an instance of it named `TASK`. numpy
alone: apps, runtimes, export and evaluation share it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lolvit.errors import UserError
from lolvit.manifest import Meaning, TensorSpec
from lolvit.registry import choose

Array = npt.NDArray[np.generic]
# One image's outputs by the signature's names; the first axis, the batch, has extent 1.
Outputs = Mapping[str, Array]


class Prediction(Protocol):
    """What a task makes of one image's outputs."""

    def as_document(self) -> dict[str, Any]:
        """Return it as plain JSON values."""

    def rows(self) -> list[tuple[str, ...]]:
        """Return it as rows of a table, under the task's `columns`."""


class Task(Protocol):
    """One task; see `classification.py` for the model."""

    name: str
    columns: tuple[str, ...]  # of a prediction's rows
    agreement: str | None  # the name of the metric that compares predictions; None: it has none
    agreement_thresholds: Mapping[str, float]  # by precision

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether a model with outputs of these names, shapes and element types may be of it."""

    def meaning(self, name: str) -> Meaning:
        """Return what an output of this name means."""

    def postprocessing(self) -> dict[str, Any]:
        """Return the parameters that the manifest carries for apps."""

    def predict(
        self, outputs: Outputs, labels: Sequence[str] | None, options: Mapping[str, Any]
    ) -> Prediction:
        """Return the prediction for one image's outputs.

        Raises:
            DeviceError: they are not finite, or not what the task has.
        """

    def agrees(self, reference: Outputs, outputs: Outputs) -> float:
        """Return how far two predictions for one image agree: 0 to 1."""

    def is_clear(self, reference: Outputs) -> bool:
        """Whether eager's own prediction for one image is no near tie, which rounding may turn."""

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return whether the prediction for one image is its label's; None where a task has no
        labels of images."""


def task_names() -> list[str]:
    """Return the names of all tasks, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        UserError: there is none of this name.
    """
    module = importlib.import_module(f"{__name__}.{choose('task', name, task_names())}")
    task: Task = module.TASK
    return task


def specs_of(
    task: Task, outputs: Sequence[tuple[str, tuple[int, ...], str]]
) -> tuple[TensorSpec, ...]:
    """Return the signature's outputs, from the names, shapes and element types that a model gives.

    Raises:
        UserError: they are not those of the task.
    """
    if not task.recognizes(outputs):
        listed = ", ".join(f"{name} {shape} {dtype}" for name, shape, dtype in outputs)
        raise UserError(
            f"its outputs are not those of {task.name}: {listed}",
            remedy="choose --task tensors to export any outputs",
        )
    return tuple(
        TensorSpec.model_validate(
            {
                "name": name,
                "shape": shape,
                "dtype": dtype,
                "layout": _layout(task.meaning(name), shape),
                "meaning": task.meaning(name),
            }
        )
        for name, shape, dtype in outputs
    )


def _layout(meaning: Meaning, shape: tuple[int, ...]) -> str | None:
    if meaning == "logits":
        return "NC"
    return "NCHW" if meaning == "features" and len(shape) == 4 else None
