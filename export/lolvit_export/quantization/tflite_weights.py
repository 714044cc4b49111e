"""Store weights of a TFLite model in 4 bits, by GPTQ; activations stay in float.

    fp32 -> each layer's own weight and bias, the bias corrected -> ai-edge-quantizer -> qweight

ai-edge-quantizer knows which tensors LiteRT takes in 4 bits, and writes them; it rounds to the
nearest and has no GPTQ, so that its integers and scales are replaced.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from lolvit_export.quantization.gptq import GptqLayer, QuantizedWeight, im2col
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.rounding import SMALLEST_FP16_SCALE, channel_scales
from lolvit_export.quantization.tflite_graph import Operation
from lolvit_runtimes.mil_operations.padding import resolve_padding

FOUR_BITS = 4
KINDS = ("CONV_2D", "FULLY_CONNECTED")
_PADDINGS = {0: "same", 1: "valid"}  # of the schema's enumeration


class FloatModel:
    """An fp32 model, with its layers whose weights can have 4 bits."""

    def __init__(self, path: Path, operations: Collection[Operation]) -> None:
        """`operations` are those of `KINDS` in the fp32 model at `path`."""
        self._model = tfl_flatbuffer_utils.read_model(str(path))
        self._subgraph = self._model.subgraphs[0]
        self._operators = {_name(self._subgraph, each): each for each in self._subgraph.operators}
        self.layers = {
            each.name: each for each in operations if each.kind in KINDS and self._is_dense(each)
        }

    def gptq_layers(self) -> dict[str, GptqLayer]:
        """Return what GPTQ needs to know of the layers."""
        return {name: self._gptq_layer(operation) for name, operation in self.layers.items()}

    def _gptq_layer(self, operation: Operation) -> GptqLayer:
        weight = self._weight(operation)
        return GptqLayer(
            input=str(operation.inputs[0]),  # its number: names need not be unique
            weight=weight.reshape(len(weight), -1),
            scales=channel_scales(weight, FOUR_BITS, smallest=SMALLEST_FP16_SCALE),
            im2col=partial(self._columns, operation),
        )

    def corrected(self, chosen: Mapping[str, QuantizedWeight]) -> bytearray:
        """Return the fp32 model in which each chosen layer has a weight and a bias of its own, the
        bias corrected."""
        model = copy.deepcopy(self._model)
        subgraph = model.subgraphs[0]
        shared = _read_twice(subgraph)
        for operator in subgraph.operators:
            stored = chosen.get(_name(subgraph, operator))
            if stored is None:
                continue
            image, weight, *old = (int(index) for index in operator.inputs)
            corrected = self._bias(operator, len(stored.scales)) + stored.bias_correction
            if subgraph.tensors[weight].buffer in shared:
                weight = _add(model, subgraph.tensors[weight])
            if not old or old[0] < 0 or subgraph.tensors[old[0]].buffer in shared:
                old = [_add_vector(model, weight, len(corrected))]
            bias = model.buffers[subgraph.tensors[old[0]].buffer]
            bias.data = corrected.astype(np.float32).view(np.uint8)
            operator.inputs = np.array([image, weight, old[0]], np.int32)
        return bytearray(flatbuffer_utils.convert_object_to_bytearray(model))

    def _weight(self, operation: Operation) -> Values:
        """Return (outputs, kernel height, kernel width, channels), or (outputs, inputs)."""
        tensor = self._subgraph.tensors[operation.inputs[1]]
        data: Values = np.asarray(self._model.buffers[tensor.buffer].data).view(np.float32)
        return data.reshape(tensor.shape)

    def _bias(self, operator: Any, outputs: int) -> Values:
        given = [int(index) for index in operator.inputs[2:] if index >= 0]
        if not given:
            return np.zeros(outputs, np.float32)
        buffer = self._subgraph.tensors[given[0]].buffer
        data: Values = np.asarray(self._model.buffers[buffer].data).view(np.float32)
        return data

    def _is_dense(self, operation: Operation) -> bool:
        """Whether the weight is constant, and each result depends on all channels."""
        image, weight = (self._subgraph.tensors[index] for index in operation.inputs[:2])
        constant = self._model.buffers[weight.buffer].data is not None
        return constant and int(image.shape[-1]) == int(weight.shape[-1])

    def _columns(self, operation: Operation, x: Values) -> Values:
        """Return what a layer multiplies its weights with: (inputs, positions)."""
        if operation.kind == "FULLY_CONNECTED":
            return x.reshape(-1, x.shape[-1]).T
        options = self._operators[operation.name].builtinOptions
        kernel = tuple(int(side) for side in self._subgraph.tensors[operation.inputs[1]].shape[1:3])
        strides = (options.strideH, options.strideW)
        dilations = (options.dilationHFactor, options.dilationWFactor)
        sides = x.shape[1:3]
        pairs = resolve_padding(_PADDINGS[options.padding], (), sides, kernel, strides, dilations)
        columns = im2col(x[0].transpose(2, 0, 1), kernel, strides, pairs, dilations)
        positions = columns.shape[1]
        by_channel = columns.reshape(x.shape[-1], -1, positions)
        return by_channel.transpose(1, 0, 2).reshape(-1, positions)  # as in the weight


def _name(subgraph: Any, operator: Any) -> str:
    return ";".join(subgraph.tensors[index].name.decode() for index in operator.outputs)


def _read_twice(subgraph: Any) -> set[int]:
    """Return the buffers of tensors that are read in more than one place."""
    read = Counter(
        int(subgraph.tensors[index].buffer)
        for operator in subgraph.operators
        for index in operator.inputs
        if index >= 0
    )
    return {buffer for buffer, count in read.items() if count > 1}


def _add(model: Any, like: Any) -> int:
    """Add a constant like another, with a buffer of its own; return its number."""
    tensors = model.subgraphs[0].tensors
    tensor, buffer = copy.deepcopy(like), qtyping.BufferT()
    buffer.data = model.buffers[like.buffer].data
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.name = f"own_constant_{len(tensors)}".encode()
    tensors.append(tensor)
    return len(tensors) - 1


def _add_vector(model: Any, like: int, length: int) -> int:
    """Add a vector of the type that tensor `like` has; return its number."""
    tensors = model.subgraphs[0].tensors
    number = _add(model, tensors[like])
    tensors[number].shape, tensors[number].shapeSignature = np.array([length], np.int32), None
    return number


def put_weights(model: bytearray, chosen: Mapping[str, QuantizedWeight]) -> None:
    """Write the integers and scales of each chosen layer over those in a quantized model."""
    view = qtyping.Model.GetRootAs(model)
    subgraph = view.Subgraphs(0)
    for number in range(subgraph.OperatorsLength()):
        operator = subgraph.Operators(number)
        names = [subgraph.Tensors(i).Name().decode() for i in operator.OutputsAsNumpy()]
        stored = chosen.get(";".join(names))
        if stored is not None:
            _overwrite(model, view, subgraph.Tensors(operator.Inputs(1)), stored)


def _overwrite(model: bytearray, view: Any, tensor: Any, stored: QuantizedWeight) -> None:
    buffer = view.Buffers(tensor.Buffer())
    if buffer.Offset() > 1:  # behind the flatbuffer, where large files have their weights
        place = np.frombuffer(model, np.uint8, buffer.Size(), buffer.Offset())
    else:
        place = buffer.DataAsNumpy()
    low, high = np.append(stored.qweight.reshape(-1), np.int8(0))[: 2 * len(place)].reshape(-1, 2).T
    place[:] = (low & 15).astype(np.uint8) | ((high & 15).astype(np.uint8) << 4)
    tensor.Quantization().ScaleAsNumpy()[:] = stored.scales.astype(np.float32)
