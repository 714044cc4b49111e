"""Read an ONNX file as operations. Nothing in it is executed; weights beside it are not opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper, shape_inference

from lolvit.errors import UserError
from lolvit_export.lint.graph import Graph, Operation, Shape, Tensor

SMALL = 64  # elements of a constant that are kept
DEFAULT_DOMAINS = ("", "ai.onnx")
_FAILURES = (DecodeError, ValueError, RuntimeError, OSError, shape_inference.InferenceError)


def read_onnx(path: Path) -> Graph:
    """Return the main graph of an ONNX file that `onnx.checker` accepts.

    Raises:
        UserError: it cannot be parsed.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        return _graph(shape_inference.infer_shapes(model, data_prop=True).graph)
    except _FAILURES as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise UserError(
            f"not a valid ONNX file: {reason}", where=str(path), remedy="export again"
        ) from error


def _graph(graph: Any) -> Graph:
    tensors = {
        info.name: _described(info) for info in (*graph.value_info, *graph.input, *graph.output)
    }
    tensors |= {stored.name: _stored(stored.name, stored) for stored in graph.initializer}
    operations = []
    for number, node in enumerate(graph.node):
        value = _constant_of(node)
        if value is not None:
            tensors[node.output[0]] = _stored(node.output[0], value)
        else:
            operations.append(_operation(number, node, tensors))
    given = [info.name for info in graph.input if not tensors[info.name].constant]
    return Graph(
        "onnx",
        operations,
        (tensors[name] for name in given),
        (tensors[info.name] for info in graph.output),
    )


def _constant_of(node: Any) -> Any:
    """Return the tensor that a Constant node holds; None for any other node."""
    if node.op_type != "Constant" or node.domain not in DEFAULT_DOMAINS:
        return None
    attribute = node.attribute[0]
    value = onnx.helper.get_attribute_value(attribute)
    return value if attribute.name == "value" else numpy_helper.from_array(np.asarray(value))


def _operation(number: int, node: Any, tensors: dict[str, Tensor]) -> Operation:
    own = node.domain in DEFAULT_DOMAINS
    outputs = [name for name in node.output if name]
    return Operation(
        kind=node.op_type if own else f"{node.domain}.{node.op_type}",
        place=node.name or (outputs[0] if outputs else f"node {number}"),
        inputs=tuple(_named(name, tensors) if name else None for name in node.input),
        outputs=tuple(_named(name, tensors) for name in outputs),
        attributes={a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute},
    )


def _named(name: str, tensors: dict[str, Tensor]) -> Tensor:
    return tensors.get(name) or Tensor(name, None, "unknown")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return tuple(value) if isinstance(value, list) else value


def _described(info: Any) -> Tensor:
    kind = info.type.tensor_type
    shape: Shape | None = None
    if kind.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return Tensor(info.name, shape, _dtype(kind.elem_type))


def _stored(name: str, stored: Any) -> Tensor:
    shape = tuple(stored.dims)
    values = integers = None
    small = int(np.prod(shape, dtype=np.int64)) <= SMALL
    int8 = stored.data_type == onnx.TensorProto.INT8
    inside = stored.data_location != onnx.TensorProto.EXTERNAL
    if (small or int8) and inside and stored.data_type:
        array = np.asarray(numpy_helper.to_array(stored))
        integers = array if int8 else None
        values = tuple(array.ravel().tolist()) if small and array.dtype.kind in "fiub" else None
    return Tensor(
        name, shape, _dtype(stored.data_type), constant=True, values=values, integers=integers
    )


def _dtype(number: int) -> str:
    """Return the name of an element type, in numpy's terms where numpy has it."""
    name = str(onnx.TensorProto.DataType.Name(number)).lower() if number else "unknown"
    return {"float": "float32", "double": "float64"}.get(name, name)
