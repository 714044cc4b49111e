"""Faults of a quantized artifact: its scales, zero points and weights, changed in the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from ai_edge_litert.tools import flatbuffer_utils
from onnx import numpy_helper

from lolvit.files import write_atomic

_Array = npt.NDArray[Any]
# The integers of tensors by TensorType of TFLite's schema.
_LIMITS = {9: (-128, 127), 7: (-32768, 32767)}


@dataclass
class Weight:
    """A weight in int8: `integers` of any shape, and one scale for each index of `axis`."""

    integers: _Array
    scales: _Array
    axis: int


class Quantized(Protocol):
    """A quantized file: activations and weights by name, in the order of execution."""

    def activations(self) -> list[str]:
        """Return the names of the activations that have a scale."""

    def params(self, name: str) -> tuple[float, int]:
        """Return the scale and the zero point of an activation."""

    def levels(self, name: str) -> int:
        """Return how many values the integers of an activation have: 256 or 65,536."""

    def set_params(self, name: str, scale: float, zero_point: int) -> None:
        """Change them; the zero point is clipped to the integers' range."""

    def misread(self, name: str, scale: float, zero_point: int) -> bool:
        """Change them for what reads the activation alone; False where the format stores them once
        for both."""

    def weights(self) -> dict[str, Weight]:
        """Return the weights in int8."""

    def set_weight(self, name: str, weight: Weight) -> None:
        """Replace one."""

    def save(self, path: Path) -> None:
        """Write the file."""


class QuantizedOnnx:
    """An ONNX file in QDQ form, as `quantization.onnx_qdq` names its constants."""

    def __init__(self, path: Path) -> None:
        self._model = onnx.load(str(path))
        self._constants = {each.name: each for each in self._model.graph.initializer}

    def _array(self, name: str) -> _Array:
        return numpy_helper.to_array(self._constants[name])

    def _store(self, name: str, values: _Array) -> None:
        self._constants[name].CopyFrom(numpy_helper.from_array(values, name))

    def activations(self) -> list[str]:
        return [
            name.removesuffix("/zero_point")
            for name in self._constants
            if name.endswith("/zero_point")
            and not name.endswith("/shifted/zero_point")  # another reading of the same integers
            and self._array(name).ndim == 0
        ]

    def params(self, name: str) -> tuple[float, int]:
        return float(self._array(f"{name}/scale")), int(self._array(f"{name}/zero_point"))

    def levels(self, name: str) -> int:
        return int(256 ** self._array(f"{name}/zero_point").dtype.itemsize)

    def set_params(self, name: str, scale: float, zero_point: int) -> None:
        old = self._array(f"{name}/zero_point")
        info = np.iinfo(old.dtype)
        self._store(f"{name}/scale", np.asarray(scale, np.float32))
        clipped = np.clip(zero_point, info.min, info.max)
        self._store(f"{name}/zero_point", np.asarray(clipped, old.dtype))

    def misread(self, name: str, scale: float, zero_point: int) -> bool:
        graph = self._model.graph
        reader = next(n for n in graph.node if n.input[0] == f"{name}/quantized")
        for place, value in ((1, np.float32(scale)), (2, zero_point)):
            old = self._array(reader.input[place])
            reader.input[place] = f"{name}/misread/{place}"
            values = np.asarray(value).astype(old.dtype)
            graph.initializer.append(numpy_helper.from_array(values, reader.input[place]))
        return True

    def weights(self) -> dict[str, Weight]:
        axes = {
            node.input[0]: next((a.i for a in node.attribute if a.name == "axis"), 1)
            for node in self._model.graph.node
            if node.op_type == "DequantizeLinear"
        }
        return {
            name: Weight(
                self._array(f"{name}/quantized"),
                self._array(f"{name}/scale"),
                axes[f"{name}/quantized"],
            )
            for each in self._constants
            if each.endswith("/weight/quantized")
            for name in (each.removesuffix("/quantized"),)
        }

    def set_weight(self, name: str, weight: Weight) -> None:
        self._store(f"{name}/quantized", weight.integers.astype(np.int8))
        self._store(f"{name}/scale", weight.scales.astype(np.float32))

    def save(self, path: Path) -> None:
        write_atomic(path, self._model.SerializeToString())


class QuantizedForHtp(QuantizedOnnx):
    """An ONNX file for HTP, whose compiler gives a tensor the scale of the operation that writes
    it: what reads it can't differ. A bound is fused into what it bounds, whose own scale is then
    unused: such activations are left out."""

    def activations(self) -> list[str]:
        readers: dict[str, set[str]] = {}
        for node in self._model.graph.node:
            for name in node.input:
                readers.setdefault(name, set()).add(node.op_type)
        return [
            name
            for name in super().activations()
            if not readers.get(f"{name}/dequantized", set()) <= {"Clip", "Relu"}
        ]

    def misread(self, name: str, scale: float, zero_point: int) -> bool:
        return False


class QuantizedTflite:
    """A TFLite file with int8 weights, and activations of int8 or int16."""

    def __init__(self, path: Path) -> None:
        self._model = flatbuffer_utils.read_model(str(path))
        self._tensors = {
            f"{number}": tensor
            for number, tensor in enumerate(self._model.subgraphs[0].tensors)
            if tensor.type in _LIMITS and tensor.quantization is not None
        }

    def _data(self, tensor: Any) -> _Array | None:
        data = self._model.buffers[tensor.buffer].data
        return None if data is None else np.asarray(data)

    def activations(self) -> list[str]:
        return [name for name, each in self._tensors.items() if self._data(each) is None]

    def params(self, name: str) -> tuple[float, int]:
        stored = self._tensors[name].quantization
        return float(stored.scale[0]), int(stored.zeroPoint[0])

    def levels(self, name: str) -> int:
        lowest, highest = _LIMITS[self._tensors[name].type]
        return highest - lowest + 1

    def set_params(self, name: str, scale: float, zero_point: int) -> None:
        tensor = self._tensors[name]
        tensor.quantization.scale = [scale]
        tensor.quantization.zeroPoint = [int(np.clip(zero_point, *_LIMITS[tensor.type]))]

    def misread(self, name: str, scale: float, zero_point: int) -> bool:
        return False

    def weights(self) -> dict[str, Weight]:
        return {
            name: Weight(
                data.view(np.int8).reshape(each.shape),
                np.asarray(each.quantization.scale, np.float32),
                int(each.quantization.quantizedDimension),
            )
            for name, each in self._tensors.items()
            if (data := self._data(each)) is not None and len(each.quantization.scale) > 1
        }

    def set_weight(self, name: str, weight: Weight) -> None:
        tensor = self._tensors[name]
        self._model.buffers[tensor.buffer].data = (
            weight.integers.astype(np.int8).reshape(-1).view(np.uint8)
        )
        tensor.quantization.scale = weight.scales.astype(np.float32)

    def save(self, path: Path) -> None:
        write_atomic(path, bytes(flatbuffer_utils.convert_object_to_bytearray(self._model)))


READERS: dict[str, Callable[[Path], Quantized]] = {
    "onnx": QuantizedOnnx,
    "tflite": QuantizedTflite,
    "qnn": QuantizedForHtp,
}


def _middle(names: list[str]) -> str:
    return names[len(names) // 2]


def _saturated(file: Quantized) -> bool:
    name = _middle(file.activations())
    scale, zero_point = file.params(name)
    file.set_params(name, scale / 16, zero_point)
    return True


def _scale_misread(file: Quantized) -> bool:
    name = _middle(file.activations())
    scale, zero_point = file.params(name)
    return file.misread(name, scale * 2, zero_point)


def _zero_point_misread(file: Quantized) -> bool:
    name = _middle(file.activations())
    scale, zero_point = file.params(name)
    return file.misread(name, scale, zero_point ^ file.levels(name) // 16)


def _per_tensor(file: Quantized) -> bool:
    for name, weight in file.weights().items():
        shape = [-1 if axis == weight.axis else 1 for axis in range(weight.integers.ndim)]
        values = weight.integers.astype(np.float64) * weight.scales.reshape(shape)
        scale = np.abs(values).max() / 127
        file.set_weight(
            name,
            Weight(np.rint(values / scale), np.full_like(weight.scales, scale), weight.axis),
        )
    return True


def _channel_scale_halved(file: Quantized) -> bool:
    """Of a layer in the middle, each output channel's weights are half of what they should be."""
    weights = file.weights()
    name = _middle(list(weights))
    weight = weights[name]
    file.set_weight(name, Weight(weight.integers, weight.scales / 2, weight.axis))
    return True


def _channels_swapped(file: Quantized) -> bool:
    weights = file.weights()
    name = _middle(list(weights))
    weight = weights[name]
    swapped = np.roll(weight.integers, 1, axis=weight.axis)
    file.set_weight(name, Weight(swapped, weight.scales, weight.axis))
    return True


@dataclass(frozen=True)
class QuantFault:
    """A fault of a quantized file, which `inject` changes; it returns False where the format can't
    have it. `consistent`: the file is a valid quantization, coarser than it should be."""

    name: str
    inject: Callable[[Quantized], bool]
    consistent: bool = False


QUANT_FAULTS = (
    QuantFault("an activation's scale saturates (1/16)", _saturated),
    QuantFault("an activation's scale read off by one bit (2)", _scale_misread),
    QuantFault("an activation's zero point read off by one bit (1/16)", _zero_point_misread),
    QuantFault("weights per tensor instead of per channel", _per_tensor, consistent=True),
    QuantFault("weight scales of one layer off by one bit (1/2)", _channel_scale_halved),
    QuantFault("channels of one layer's weight rotated", _channels_swapped),
)
