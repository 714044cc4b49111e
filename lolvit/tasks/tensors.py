"""Outputs of unknown meaning, which are returned unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from lolvit.manifest import Meaning
from lolvit.tasks import Agreement, Array, Model, Outputs

# The only output of a model without classes.
FEATURES: Final = "features"
# Values of larger outputs are summarized.
_MAX_PRINTED = 4096


@dataclass(frozen=True)
class Tensors:
    """One image's outputs by name, each of shape (1, ...)."""

    outputs: dict[str, Array]

    def as_document(self) -> dict[str, Any]:
        """Return each output's shape, dtype and range, and its values if there are at most 4096."""
        return {"outputs": {name: _document(array) for name, array in self.outputs.items()}}

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row per output: name, shape, minimum, mean and maximum."""
        return [
            (name, "x".join(map(str, array.shape)), *_range_of(array))
            for name, array in self.outputs.items()
        ]


def _document(array: Array) -> dict[str, Any]:
    finite = bool(np.isfinite(array).all())
    document: dict[str, Any] = {
        "shape": list(array.shape), "dtype": array.dtype.name, "finite": finite,
    }  # fmt: skip
    if finite and array.size:
        values = array.astype(np.float64)
        document |= {"min": values.min(), "mean": values.mean(), "max": values.max()}
        if array.size <= _MAX_PRINTED:
            document["values"] = array.tolist()
    return document


def _range_of(array: Array) -> tuple[str, str, str]:
    values = array.astype(np.float64)
    if not values.size:
        return ("-", "-", "-")
    return (f"{values.min():.4g}", f"{values.mean():.4g}", f"{values.max():.4g}")


class TensorsTask:
    """Compares outputs only numerically."""

    name = "tensors"
    columns = ("output", "shape", "min", "mean", "max")
    agreement = None
    agreement_thresholds: ClassVar[Mapping[str, float]] = {}

    def configure(self, size: tuple[int, int], postprocessing: Mapping[str, Any]) -> TensorsTask:
        """Return the task itself: it has no parameters."""
        return self

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether there is an output at all."""
        return bool(outputs)

    def meaning(self, name: str) -> Meaning:
        """Return `features` for an output of that name, else `tensor`."""
        return "features" if name == FEATURES else "tensor"

    def classes(self, outputs: Mapping[str, tuple[int, ...]]) -> int | None:
        """Return None: what the outputs mean is unknown."""
        return None

    def postprocessing(self) -> dict[str, Any]:
        """Return that apps use the outputs unchanged."""
        return {"kind": "none"}

    def predict(self, outputs: Outputs, model: Model, options: Mapping[str, Any]) -> Tensors:
        """Return the outputs unchanged."""
        return Tensors(dict(outputs))

    def compare(
        self, references: Sequence[Outputs], outputs: Sequence[Outputs], precision: str
    ) -> Agreement:
        """Return no agreement: there are no predictions to compare."""
        return Agreement(None)

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return None: there are no labels."""
        return None


TASK = TensorsTask()
