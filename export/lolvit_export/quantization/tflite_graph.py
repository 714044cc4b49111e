"""A TFLite model as its quantizer sees it: operations by name, and which can be integers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from lolvit_export.quantization.quantizer import Layer, output_operations

# What the quantizer and the kernels of LiteRT both have in 8 and in 16 bits, of what classifiers
# are made of.
KINDS = (
    "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D",
    "DIV", "FULLY_CONNECTED", "GELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "RELU",
    "RESHAPE", "SLICE", "SOFTMAX", "SPLIT", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE",
)  # fmt: skip
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_PADV2 = "PADV2"  # padding with another value than zero
# Operations with one divisor: its place among their inputs.
_DIVISOR = {"DIV": 1, "RSQRT": 0, "SQRT": 0}
# What stands between a divisor and the values that it sums.
_ON_THE_WAY = ("ADD", "MEAN", "MUL", "RESHAPE", "SUM", "TRANSPOSE")


@dataclass(frozen=True)
class Operation:
    """An operation of the main subgraph: its tensors by number, -1 for one left out."""

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Graph:
    """The main subgraph of a TFLite file that was just written.

    `activations` are the tensors that have a range: not what a max pool's padding gives, which is
    minus infinity at the edges. Such a pool stays in float.
    """

    def __init__(self, path: Path) -> None:
        model = tfl_flatbuffer_utils.read_model(str(path))
        subgraph = model.subgraphs[0]
        self.tensors = [tensor.name.decode() for tensor in subgraph.tensors]
        shapes = [() if t.shape is None else tuple(t.shape) for t in subgraph.tensors]
        self.ranks = [len(shape) for shape in shapes]
        self._elements = [math.prod(shape) for shape in shapes]
        self.activations = [
            index
            for index, tensor in enumerate(subgraph.tensors)
            if tensor.type == qtyping.TensorType.FLOAT32
            and model.buffers[tensor.buffer].data is None
        ]
        self._outputs = [int(index) for index in subgraph.outputs]
        self.operations = [self._operation(model, each) for each in subgraph.operators]
        infinite = {
            each.outputs[0]
            for each in self.operations
            if each.kind == _PADV2 and _is_infinite(model, subgraph.tensors[each.inputs[2]])
        }
        self.activations = [index for index in self.activations if index not in infinite]

    def _operation(self, model: Any, operator: Any) -> Operation:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        # Kinds that the quantizer does not know keep their number: no recipe names them.
        kind = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(code)
        return Operation(
            name=";".join(self.tensors[index] for index in operator.outputs),
            kind=str(code) if kind is None else str(kind.value),
            inputs=tuple(int(index) for index in operator.inputs),
            outputs=tuple(int(index) for index in operator.outputs),
        )

    def layers(self) -> list[Layer]:
        """Return what can be quantized, in the order of execution.

        What gives a divisor stays in float, and so does the division: a small sum, rounded in 8
        bits, becomes zero.
        """
        last = self._output_operations
        return [
            Layer(
                operation.name,
                operation.kind,
                int(self._elements[operation.outputs[0]]),
                is_output=operation.name in last,
            )
            for operation in self.operations
            if operation.kind in KINDS
            and operation.name not in self._divisors
            and set(operation.inputs) & set(self.activations)
        ]

    @cached_property
    def _makers(self) -> dict[int, Operation]:
        return {index: each for each in self.operations for index in each.outputs}

    @cached_property
    def _output_operations(self) -> frozenset[str]:
        found = output_operations(
            self._outputs,
            self._makers.get,
            lambda each: each.inputs,
            lambda each: each.kind in WEIGHTED,
        )
        return frozenset(each.name for each in found)

    @cached_property
    def _divisors(self) -> frozenset[str]:
        maker = self._makers
        found: set[str] = set()
        waiting = list(self._divided())
        while waiting:
            operation = maker.get(waiting.pop())
            if operation is None or operation.name in found or operation.kind not in _ON_THE_WAY:
                continue
            found.add(operation.name)
            waiting += operation.inputs
        dividing = {each.name for each in self.operations if each.kind in _DIVISOR}
        return frozenset(found | dividing)

    def _divided(self) -> Iterator[int]:
        for operation in self.operations:
            if operation.kind in _DIVISOR:
                yield operation.inputs[_DIVISOR[operation.kind]]


def _is_infinite(model: Any, tensor: Any) -> bool:
    """Whether a constant is one number in float32, and that is infinite."""
    data = model.buffers[tensor.buffer].data
    value = np.frombuffer(bytes(data), np.float32) if data is not None else np.zeros(0)
    return bool(value.size == 1 and np.isinf(value[0]))
