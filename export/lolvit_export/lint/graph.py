"""An artifact as a neutral list of operations, whatever its format: what every rule looks at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit.manifest import Format

Shape = tuple[int | None, ...]  # None: a size that is known only at run time


@dataclass(frozen=True)
class Tensor:
    """A value between operations.

    `shape` is None where the file does not hold the rank. `values` holds the elements, in order,
    of small constants only: axes, permutations, paddings. `integers` is a constant of int8, which
    an ONNX file's reader keeps whole.
    """

    name: str
    shape: Shape | None
    dtype: str
    constant: bool = False
    values: tuple[float, ...] | None = None
    integers: npt.NDArray[np.int8] | None = field(default=None, compare=False, repr=False)

    @property
    def rank(self) -> int | None:
        """The number of axes."""
        return None if self.shape is None else len(self.shape)

    @property
    def elements(self) -> int | None:
        """The number of elements, or None where a size is not known."""
        sizes = [size for size in self.shape or () if size is not None]
        whole = self.shape is not None and len(sizes) == len(self.shape)
        return math.prod(sizes) if whole else None


@dataclass(frozen=True)
class Operation:
    """One operation in its format's own terms.

    `inputs` stand in the format's order (ONNX, TFLite; None: an optional one that is not given), in
    Core ML the tensors computed or stored, by name; its other arguments are in `attributes`.
    """

    kind: str
    place: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def input(self, index: int) -> Tensor | None:
        """Return an input, or None if it is not given."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The inputs that are given."""
        return tuple(tensor for tensor in self.inputs if tensor is not None)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All inputs that are given, and all outputs."""
        return self.given + self.outputs


class Graph:
    """The operations of an artifact in the order in which they run."""

    def __init__(
        self,
        format: Format,
        operations: Iterable[Operation],
        inputs: Iterable[Tensor],
        outputs: Iterable[Tensor],
    ) -> None:
        self.format = format
        self.operations = tuple(operations)
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._producers = {t.name: op for op in self.operations for t in op.outputs}
        self._consumers: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in {tensor.name for tensor in operation.given}:
                self._consumers.setdefault(name, []).append(operation)

    def producer(self, tensor: Tensor | None) -> Operation | None:
        """Return the operation that computes a tensor; None for an input or a constant."""
        return None if tensor is None else self._producers.get(tensor.name)

    def consumers(self, tensor: Tensor) -> tuple[Operation, ...]:
        """Return the operations that read a tensor."""
        return tuple(self._consumers.get(tensor.name, ()))

    def is_static(self, tensor: Tensor | None) -> bool:
        """Whether a tensor is constant, or nothing but a constant in another precision."""
        if tensor is None or tensor.constant:
            return True
        source = self.producer(tensor)
        widened = source is not None and source.kind in ("DEQUANTIZE", "Cast", "cast")
        return widened and all(each.constant for each in source.given)  # type: ignore[union-attr]
