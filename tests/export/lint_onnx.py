"""ONNX files of one operation, or a few, for tests of lint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

MAP = (1, 16, 8, 8)
Sizes = Sequence[int | str]
Constants = Mapping[str, Any]


def onnx_file(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sizes],
    constants: Constants | None = None,
    element: int = TensorProto.FLOAT,
    opset: int = 18,
) -> bytes:
    """Return an ONNX file; its outputs are the last node's."""
    made = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in nodes[-1].output]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, element, list(s)) for name, s in inputs.items()],
        made,
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model)
    return inferred.SerializeToString()


def one(
    kind: str, shape: Sizes = MAP, constants: Constants | None = None, operands: int = 1,
    element: int = TensorProto.FLOAT, opset: int = 18, outputs: int = 1, **attributes: Any,
) -> bytes:  # fmt: skip
    """Return a file with one operation of `operands` tensors of a shape, then constants."""
    names = [f"x{i}" for i in range(operands)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(
        kind, [*names, *(constants or {})], results, name=f"the_{kind}", **attributes
    )
    return onnx_file([node], dict.fromkeys(names, shape), constants, element, opset)


def chain(*steps: tuple[str, Constants, dict[str, Any]], shape: Sizes = MAP) -> bytes:
    """Return a file that runs steps (kind, constants, attributes) one after the other."""
    nodes, constants, current = [], {}, "x"
    for number, (kind, given, attributes) in enumerate(steps):
        names = {f"{name}{number}": value for name, value in given.items()}
        constants |= names
        result = f"t{number}"
        nodes.append(helper.make_node(kind, [current, *names], [result], **attributes))
        current = result
    return onnx_file(nodes, {"x": shape}, constants)


def weights(*shape: int) -> npt.NDArray[np.float32]:
    values = np.random.default_rng(0).standard_normal(shape) * 0.1
    return values.astype(np.float32)


def pointwise(channels: int = 16) -> tuple[str, Constants, dict[str, Any]]:
    """Return the step of a 1x1 convolution."""
    return "Conv", {"w": weights(channels, channels, 1, 1)}, {"kernel_shape": [1, 1]}


def average(
    kernel: int, stride: int, pads: Sequence[int] = (0, 0, 0, 0), ceil: int = 0, counted: int = 0
) -> tuple[str, Constants, dict[str, Any]]:
    """Return the step of an average pool."""
    attributes = {
        "kernel_shape": [kernel, kernel], "strides": [stride, stride], "pads": list(pads),
        "ceil_mode": ceil, "count_include_pad": counted,
    }  # fmt: skip
    return "AveragePool", {}, attributes


def pooled(side: int, *pool: Any, channels: int = 16, **options: Any) -> bytes:
    """Return a file with an average pool between convolutions, as networks have it."""
    step = average(*pool, **options)
    return chain(pointwise(channels), step, pointwise(channels), shape=(1, channels, side, side))


def padding(*pads: int, mode: str = "constant") -> tuple[str, Constants, dict[str, Any]]:
    """Return the step of a padding of four axes."""
    return "Pad", {"p": np.int64(pads)}, {"mode": mode}


def quantized(middle: str) -> bytes:
    """Return a file with a quantized convolution, then an operation on floats or not."""
    scale, zero = np.float32(0.05), np.uint8(128)
    constants = {
        "s": scale, "z": zero, "w": np.ones((16, 16, 1, 1), np.int8), "ws": scale,
        "wz": np.int8(0),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        node("Conv", ["xd", "wd"], ["c"], kernel_shape=[1, 1]),
        node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
        node("DequantizeLinear", ["cq", "s", "z"], ["cd"]),
        node("Relu", ["cd"], ["r"]),
    ]
    nodes += [node(middle, ["r"], ["y"])] if middle else []
    return onnx_file(nodes, {"x": MAP}, constants)
