"""Join what a float artifact convolves apart: integer kernels take one wide convolution sooner.

    conv 1x1 (W_1, b)·x_1 + conv 1x1 (W_2)·x_2
becomes
    conv 1x1 ([W_1 W_2], b)·concat(x_1, x_2)

the reverse of the static rewrite's `split_concat_conv`: in float a runtime adds in the convolution,
in int8 the sum is an operation of its own, over operands that were rounded once more.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lolvit_export.quantization.onnx_graph import Graph, attribute


def joined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which sums of pointwise convolutions are one convolution."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = Graph(result)
    for total in [node for node in graph.nodes if node.op_type == "Add"]:
        parts = [graph.maker.get(name) for name in total.input]
        if _joinable(graph, parts):
            _join(result, graph, total, [part for part in parts if part is not None])
    return result


def _joinable(graph: Graph, parts: list[onnx.NodeProto | None]) -> bool:
    """Whether two different pointwise convolutions, with one bias at most, serve one sum alone."""
    if any(part is None or part.op_type != "Conv" for part in parts) or len(parts) != 2:
        return False
    found = [part for part in parts if part is not None]
    return (
        found[0].output[0] != found[1].output[0]
        and all(_pointwise(graph, part) for part in found)
        and all(len(graph.readers[part.output[0]]) == 1 for part in found)
        and sum(len(part.input) > 2 for part in found) <= 1
    )


def _pointwise(graph: Graph, node: onnx.NodeProto) -> bool:
    plain = all(
        all(extent == default for extent in a.ints)
        for a in node.attribute
        for name, default in (("strides", 1), ("pads", 0), ("kernel_shape", 1))
        if a.name == name
    )
    constant = all(name in graph.weights for name in node.input[1:])
    return (
        plain
        and constant
        and attribute(node, "group", 1) == 1
        and tuple(graph.weights[node.input[1]].dims[2:]) == (1, 1)
    )


def _join(
    model: onnx.ModelProto, graph: Graph, total: onnx.NodeProto, parts: list[onnx.NodeProto]
) -> None:
    """Replace the sum by a Concat and a convolution in its place."""
    name = total.name
    weight = np.concatenate([graph.array(part.input[1]) for part in parts], axis=1)
    stored = numpy_helper.from_array(weight, f"{name}/weight")
    biases = [part.input[2] for part in parts if len(part.input) > 2]
    concat = helper.make_node(
        "Concat", [part.input[0] for part in parts], [f"{name}/cat"], f"{name}/cat", axis=1
    )
    conv = helper.make_node(
        "Conv", [f"{name}/cat", stored.name, *biases], list(total.output), name, kernel_shape=[1, 1]
    )
    place = list(model.graph.node).index(total)
    model.graph.initializer.append(stored)
    model.graph.node.insert(place, conv)
    model.graph.node.insert(place, concat)
    for gone in (total, *parts):
        model.graph.node.remove(gone)
