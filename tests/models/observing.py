"""Watch every value that a model computes, whichever module or function computes it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Magnitudes(TorchDispatchMode):
    """Record the largest absolute value that each operation gives; NaN counts as infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.by_operation: dict[str, float] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
                self._record(str(function), float(value.abs().max()))
        return result

    def _record(self, operation: str, magnitude: float) -> None:
        seen = math.inf if math.isnan(magnitude) else magnitude
        self.by_operation[operation] = max(self.by_operation.get(operation, 0.0), seen)


def magnitudes(model: torch.nn.Module, image: Tensor) -> dict[str, float]:
    """Return the largest absolute value of each kind of operation in one forward pass."""
    with torch.no_grad(), Magnitudes() as seen:
        model(image)
    return seen.by_operation
