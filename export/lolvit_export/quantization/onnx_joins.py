"""The ranges of what a quantized Concat joins, so that joining is copying.

Where all inputs have the result's scale and zero point, runtimes copy; otherwise they look up each
value in a table, which takes twice as long. Inputs of one sign get one range. Where one comes from
a ReLU and another is signed, one range would have the zero point of the signed ones, and the ReLU
would have to be an operation of its own, in float. There only the scale is shared:

    u = (q + z) · s   is stored as q with the zero point -z·s, and read as if that were zero

which shifts a channel by the constant z·s. A pointwise convolution that reads the result takes the
shift out again: its bias in int32 is less by Σ w·z, exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx

from lolvit_export.quantization.onnx_graph import Graph, attribute
from lolvit_export.quantization.ranges import Range


def shared_ranges(
    graph: Graph, chosen: Collection[str], ranges: Mapping[str, Range], shifted: Collection[str]
) -> dict[str, Range]:
    """Return ranges in which what a quantized Concat joins has the range of the result, or, where
    the Concat is one of `shifted`, a range as wide as that."""
    result = dict(ranges)
    for node in reversed(graph.nodes):
        if node.op_type != "Concat" or node.name not in chosen:
            continue
        inputs, joined = graph.activations(node), graph.end(node)
        if node.name in shifted:
            width = max(high - min(low, 0) for low, high in (result[name] for name in inputs))
            for name in inputs:
                low = min(result[name][0], 0.0)
                result[name] = low, low + width
            result[joined] = 0.0, width
        elif len({result[name][0] < 0 for name in inputs}) == 1:
            names = [*inputs, joined]
            low = min(result[name][0] for name in names)
            high = max(result[name][1] for name in names)
            result.update(dict.fromkeys(names, (low, high)))
    return result


def shifted_joins(
    graph: Graph, chosen: Collection[str], ranges: Mapping[str, Range]
) -> frozenset[str]:
    """Return the names of the quantized Concats of both signed and other inputs that only quantized
    pointwise convolutions read."""
    return frozenset(
        node.name
        for node in graph.nodes
        if node.op_type == "Concat"
        and node.name in chosen
        and len({ranges[name][0] < 0 for name in graph.activations(node)}) == 2
        and _joins_channels_alone(graph, node)
        and graph.end(node) == node.output[0]
        and node.output[0] not in graph.outputs
        and all(
            reader.name in chosen and _is_pointwise(graph, reader)
            for reader in graph.readers[node.output[0]]
        )
    )


def _joins_channels_alone(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a Concat joins channels of maps, none of which is a constant or another Concat's."""
    inputs = list(node.input)
    readers = [reader for name in inputs for reader in graph.readers[name]]
    makers = [graph.begin(name) for name in inputs]
    return (
        attribute(node, "axis", 0) == 1
        and len(set(inputs)) == len(inputs) == len(graph.activations(node))
        and all(len(graph.shapes.get(name, ())) == 4 for name in inputs)
        and all(reader.op_type != "Concat" or reader is node for reader in readers)
        and all(maker is None or maker.op_type != "Concat" for maker in makers)
    )


def _is_pointwise(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution that multiplies each position with one matrix of constants,
    and pads nothing."""
    if node.op_type != "Conv" or any(name and name not in graph.weights for name in node.input[1:]):
        return False
    pads = next((list(a.ints) for a in node.attribute if a.name == "pads"), [])
    padded = any(pads) or any(
        a.name == "auto_pad" and a.s.startswith(b"SAME") for a in node.attribute
    )
    ones = all(side == 1 for side in graph.array(node.input[1]).shape[2:])
    return ones and not padded and attribute(node, "group", 1) == 1
