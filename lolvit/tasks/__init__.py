"""Tasks: how outputs become predictions, and how two sets of outputs are compared.

A task is one file here, with a class that implements `Task` and an instance of it named `TASK`.
Tasks need only numpy, and are shared by runtimes, export and evaluation.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lolvit.errors import UserError
from lolvit.manifest import MANIFEST_NAME, Manifest, Meaning, TensorSpec
from lolvit.placement import Placement
from lolvit.registry import choose

Array = npt.NDArray[np.generic]
# One image's outputs by the signature's names; the first axis, the batch, has extent 1.
Outputs = Mapping[str, Array]


class Prediction(Protocol):
    """A task's prediction for one image."""

    def as_document(self) -> dict[str, Any]:
        """Return it as plain JSON values."""

    def rows(self) -> list[tuple[str, ...]]:
        """Return it as rows of a table, under the task's `columns`."""


@dataclass(frozen=True)
class Model:
    """What a prediction needs beside a model's outputs: where the photo lies in its input, and the
    names and colours (#rrggbb) of its classes, where they are known."""

    placement: Placement
    labels: tuple[str, ...] | None = None
    colors: tuple[str, ...] | None = None


# Standard errors that a threshold is lowered by for chance: what lies at it is then not refused in
# 95 % of the cases.
ONE_SIDED_95 = 1.645


@dataclass(frozen=True)
class Metric:
    """A value and its threshold, which it must not be below."""

    name: str
    value: float
    threshold: float


@dataclass(frozen=True)
class Agreement:
    """How far predictions agree with eager's: `value`, 0 to 1, is the task's `agreement` metric,
    None where there is too little to compare. `left_out` are near ties that were not counted.
    `images` is their number where the metric is a share of them: of few, one may differ."""

    value: float | None
    left_out: int = 0
    others: tuple[Metric, ...] = ()
    images: int | None = None


class Task(Protocol):
    """The interface of a task; `classification.py` is an example."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of a prediction's rows."""

    @property
    def agreement(self) -> str | None:
        """The name of the metric that compares predictions; None: it has none."""

    @property
    def agreement_thresholds(self) -> Mapping[str, float]:
        """The metric's thresholds by precision."""

    def configure(self, size: tuple[int, int], postprocessing: Mapping[str, Any]) -> Task:
        """Return the task for a model: its input's (height, width) in pixels, and the manifest's
        parameters, empty for the default ones.

        Raises:
            UserError: a parameter is invalid.
        """

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether outputs of these names, shapes and dtypes match the task."""

    def meaning(self, name: str) -> Meaning:
        """Return the meaning of an output."""

    def classes(self, outputs: Mapping[str, tuple[int, ...]]) -> int | None:
        """Return the number of classes from the outputs' shapes; None if the task has none."""

    def postprocessing(self) -> dict[str, Any]:
        """Return the parameters that the manifest carries for apps."""

    def predict(self, outputs: Outputs, model: Model, options: Mapping[str, Any]) -> Prediction:
        """Return the prediction for one image's outputs.

        Raises:
            DeviceError: they are not finite, or do not match the task.
        """

    def compare(
        self, references: Sequence[Outputs], outputs: Sequence[Outputs], precision: str
    ) -> Agreement:
        """Return the agreement of an artifact's outputs with eager's, image by image."""

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return whether the prediction for one image is its label; None if the task has no image
        labels."""


def task_names() -> list[str]:
    """Return the names of all tasks, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        UserError: no task has this name.
    """
    module = importlib.import_module(f"{__name__}.{choose('task', name, task_names())}")
    task: Task = module.TASK
    return task


def configured(manifest: Manifest) -> Task:
    """Return an export's task, with its parameters.

    Raises:
        UserError: the task is unknown, a parameter is invalid, or they do not fit the outputs.
    """
    task = find_task(manifest.task).configure(manifest.size, manifest.postprocessing)
    outputs = [(spec.name, spec.shape, spec.dtype) for spec in manifest.signature.outputs]
    if not task.recognizes(outputs):
        raise UserError(
            f"its outputs do not fit the postprocessing of {manifest.task}: {_listed(outputs)}",
            where=MANIFEST_NAME, remedy="export again",
        )  # fmt: skip
    return task


def _listed(outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {shape} {dtype}" for name, shape, dtype in outputs)


def specs_of(
    task: Task, outputs: Sequence[tuple[str, tuple[int, ...], str]]
) -> tuple[TensorSpec, ...]:
    """Return the signature's outputs from their names, shapes and dtypes.

    Raises:
        UserError: they do not match the task.
    """
    if not task.recognizes(outputs):
        raise UserError(
            f"its outputs do not match the task {task.name}: {_listed(outputs)}",
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
    if meaning in ("logits", "features"):
        return {2: "NC", 4: "NCHW"}.get(len(shape))
    return "NCL" if meaning in ("distances", "scores") else None
