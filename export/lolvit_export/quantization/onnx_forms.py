"""Forms of a float ONNX model that ONNX Runtime computes faster once it is quantized.

mean of height and width   becomes   GlobalAveragePool   which has an integer kernel, in the layout
                                                         of the convolutions before it
"""

from __future__ import annotations

import onnx
from onnx import helper

from lolvit_export.quantization.onnx_graph import Graph, attribute, rebuilt

_PLACES = [2, 3]  # the axes of height and width


def with_global_pools(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which a mean over height and width is a global pool."""
    graph = Graph(model)
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if not _is_global_mean(graph, node):
            nodes.append(node)
            continue
        keeps = attribute(node, "keepdims", 1)
        pooled = node.output[0] if keeps else f"{node.output[0]}/pooled"
        nodes.append(helper.make_node("GlobalAveragePool", node.input[:1], [pooled], node.name))
        if not keeps:
            name = f"{node.name}/flatten"
            nodes.append(helper.make_node("Flatten", [pooled], list(node.output), name, axis=1))
    return rebuilt(model, nodes, [])


def _is_global_mean(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node averages maps (B, C, H, W) over height and width."""
    if node.op_type != "ReduceMean" or len(node.input) < 2 or node.input[1] not in graph.weights:
        return False
    rank = len(graph.shapes.get(node.input[0], ()))
    return rank == 4 and sorted(int(axis) % 4 for axis in graph.array(node.input[1])) == _PLACES
