"""Any outputs, whose meaning is the model's own: they are handed over as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lolvit.manifest import Meaning
from lolvit.tasks import Array, Outputs

# A larger output is described, not printed.
_PRINTED = 4096


@dataclass(frozen=True)
class Tensors:
    """One image's outputs by name, each of shape (1, ...)."""

    outputs: dict[str, Array]

    def as_document(self) -> dict[str, Any]:
        """Return each output's shape, type and extent, and its values where they are few."""
        return {"outputs": {name: _document(array) for name, array in self.outputs.items()}}

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row an output: name, shape, smallest, mean and largest value."""
        return [
            (name, "x".join(map(str, array.shape)), *_extent(array))
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
        if array.size <= _PRINTED:
            document["values"] = array.tolist()
    return document


def _extent(array: Array) -> tuple[str, str, str]:
    values = array.astype(np.float64)
    if not values.size:
        return ("-", "-", "-")
    return (f"{values.min():.4g}", f"{values.mean():.4g}", f"{values.max():.4g}")


class TensorsTask:
    """Compares outputs as numbers alone."""

    name = "tensors"
    columns = ("output", "shape", "min", "mean", "max")
    agreement = None
    agreement_thresholds: ClassVar[Mapping[str, float]] = {}

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether there is an output at all."""
        return bool(outputs)

    def meaning(self, name: str) -> Meaning:
        """Return `tensor`."""
        return "tensor"

    def postprocessing(self) -> dict[str, Any]:
        """Return that nothing is done with the outputs."""
        return {"kind": "none"}

    def predict(
        self, outputs: Outputs, labels: Sequence[str] | None, options: Mapping[str, Any]
    ) -> Tensors:
        """Return the outputs as they are."""
        return Tensors(dict(outputs))

    def agrees(self, reference: Outputs, outputs: Outputs) -> float:
        """Return 1: there is nothing to compare beyond the numbers."""
        return 1.0

    def is_clear(self, reference: Outputs) -> bool:
        """Return True: numbers are never undecided."""
        return True

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return None: nothing says what a label would be."""
        return None


TASK = TensorsTask()
