"""The operations of an ONNX file: which part of the model each belongs to, and its multiply-adds.

No import of ONNX at the top: the process that measures reads only what a child has found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
Attributes = dict[str, Any]


class Layer(BaseModel):
    """One operation of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    detail: str = Field(description="of its kind, such as `3x3 depthwise`; often empty")
    macs: int = Field(description="multiply-adds of one inference")
    values: tuple[str, ...] = Field(description="names of what it gives")
    readers: tuple[str, ...] = Field(description="layers that read those")

    @property
    def path(self) -> str:
        """The part of the model that it belongs to, of a name such as `stages.0.1.project/conv2d`;
        empty where the file doesn't name it."""
        return path_of(self.name)


def path_of(name: str) -> str:
    """Return the path before the last slash of a layer's name."""
    return name.rpartition("/")[0].lstrip("/")


def values_of(layers: Iterable[Layer]) -> dict[str, Layer]:
    """Return layers by their names and by those of the values that they give."""
    return {name: layer for layer in layers for name in (layer.name, *layer.values)}


def named(name: str, by_value: dict[str, Layer]) -> Layer | None:
    """Return the layer whose name, or a value's, is the longest that `name` begins with; what
    follows it is a suffix of the runtime's."""
    for end in range(len(name), 0, -1):
        layer = by_value.get(name[:end])
        if layer is not None and (end == len(name) or name[end] in "_/"):
            return layer
    return None


def read_layers(path: Path) -> list[Layer]:
    """Return the operations of a file, in order. Where a shape can't be inferred its
    multiply-adds are counted as 0: the sum then differs from the manifest's."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    shapes = _shapes(graph)
    names = [node.name or next(iter(node.output)) for node in graph.node]
    readers: dict[str, list[str]] = {}
    for node, name in zip(graph.node, names, strict=True):
        for value in node.input:
            readers.setdefault(value, []).append(name)
    return [
        Layer(
            name=name,
            detail=_detail(node, [shapes.get(value) for value in node.input]),
            macs=_macs_of_node(node, shapes),
            values=tuple(node.output),
            readers=tuple(reader for value in node.output for reader in readers.get(value, ())),
        )
        for node, name in zip(graph.node, names, strict=True)
    ]


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape | None]:
    infos = (*graph.input, *graph.output, *graph.value_info)
    found = {info.name: _fixed(info.type.tensor_type) for info in infos}
    return found | {held.name: tuple(held.dims) for held in graph.initializer}


def _fixed(tensor: onnx.TypeProto.Tensor) -> Shape | None:
    """Return a shape, or None where it isn't known whole."""
    if not tensor.HasField("shape"):
        return None
    if not all(extent.HasField("dim_value") for extent in tensor.shape.dim):
        return None
    return tuple(extent.dim_value for extent in tensor.shape.dim)


def _macs_of_node(node: onnx.NodeProto, shapes: dict[str, Shape | None]) -> int:
    import onnx

    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    values = [shapes.get(value) for value in (*node.input, *node.output)]
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return macs(kind, values[: len(node.input)], values[len(node.input) :], attributes)


def macs(kind: str, inputs: Shapes, outputs: Shapes, attributes: Attributes) -> int:
    """Return the multiply-adds of one operation, from the shapes of what it takes and gives; 0 for
    kinds that do none, and where a shape that it needs is not known."""
    if kind not in _FORMULAS:
        return 0
    formula, needs_output = _FORMULAS[kind]
    left, right = inputs[0], inputs[1]
    made = outputs[0] if needs_output else ()
    if left is None or right is None or made is None:
        return 0
    return formula(left, right, made, attributes)


def _conv(image: Shape, weight: Shape, made: Shape, attributes: Attributes) -> int:
    """Each value that is made takes one row of the weight (out, in / groups, *kernel)."""
    return math.prod(made) * math.prod(weight[1:])


def _conv_transpose(image: Shape, weight: Shape, made: Shape, attributes: Attributes) -> int:
    """Each value that is read meets one row of the weight (in, out / groups, *kernel)."""
    return math.prod(image) * math.prod(weight[1:])


def _matmul(left: Shape, right: Shape, made: Shape, attributes: Attributes) -> int:
    return math.prod(made) * left[-1]


def _gemm(left: Shape, right: Shape, made: Shape, attributes: Attributes) -> int:
    return math.prod(made) * left[0 if attributes.get("transA") else 1]


def _fused_attention(tokens: Shape, weight: Shape, made: Shape, attributes: Attributes) -> int:
    """ONNX Runtime's own: tokens (batch, n, c) are projected to queries, keys and values by one
    weight (c, q + k + v); then come the scores, and their product with the values."""
    batch, n, channels = tokens
    parts: list[int] = attributes.get("qkv_hidden_sizes") or [weight[1] // 3] * 3
    query, _, value = parts
    return batch * n * (channels * weight[1] + n * (query + value))


Formula = Callable[[Shape, Shape, Shape, Attributes], int]
# kind: its formula, and whether that needs the output's shape
_FORMULAS: dict[str, tuple[Formula, bool]] = {
    "Conv": (_conv, True),
    "ConvTranspose": (_conv_transpose, False),
    "MatMul": (_matmul, True),
    "Gemm": (_gemm, True),
    "com.microsoft.Attention": (_fused_attention, False),
}


def _detail(node: onnx.NodeProto, inputs: Shapes) -> str:
    """Return kernel and groups of a convolution, in words."""
    if node.op_type != "Conv" or inputs[1] is None:
        return ""
    kernel = "x".join(map(str, inputs[1][2:]))
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    if groups == 1:
        return kernel
    return f"{kernel} depthwise" if inputs[1][1] == 1 else f"{kernel} in groups"
