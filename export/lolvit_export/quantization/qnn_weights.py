"""The weights of an ONNX model's convolutions for Qualcomm's HTP: scales, and what GPTQ needs."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from lolvit_export.quantization.gptq import GptqLayer, im2col
from lolvit_export.quantization.onnx_graph import Graph, attribute
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.rounding import SMALLEST_SCALE, Floats, channel_scales

WEIGHT_BITS = 8
_NEGLIGIBLE = 1e-4  # a channel of weights that small beside the largest has no scale of its own


def weight_scales(weight: Values) -> Floats:
    """Return one scale for each output channel of a convolution's weight."""
    smallest = max(float(np.abs(weight).max()) * _NEGLIGIBLE, SMALLEST_SCALE)
    return channel_scales(weight, WEIGHT_BITS, smallest=smallest)


def gptq_layers(graph: Graph) -> dict[str, GptqLayer]:
    """Return what GPTQ needs to know of the convolutions, depthwise ones too."""
    return {node.name: _gptq_layer(graph, node) for node in graph.nodes if _is_known(graph, node)}


def _gptq_layer(graph: Graph, node: onnx.NodeProto) -> GptqLayer:
    weight = graph.array(node.input[1])
    return GptqLayer(
        input=node.input[0],
        weight=weight.reshape(len(weight), -1),
        scales=weight_scales(weight),
        im2col=partial(_columns, node, weight.shape[2:]),
    )


def _is_known(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution of a constant weight, and its padding is explicit."""
    automatic = any(a.name == "auto_pad" and a.s not in (b"", b"NOTSET") for a in node.attribute)
    return node.op_type == "Conv" and node.input[1] in graph.weights and not automatic


def _columns(node: onnx.NodeProto, kernel: tuple[int, ...], values: Values) -> Values:
    """Return what each group's weights are multiplied with, of an input (1, channels, H, W):
    (groups, inputs, positions)."""
    given = {a.name: tuple(a.ints) for a in node.attribute}
    pads = given.get("pads") or (0, 0, 0, 0)  # top, left, bottom, right
    strides, dilations = given.get("strides") or (1, 1), given.get("dilations") or (1, 1)
    columns = im2col(values[0], kernel, strides, [pads[::2], pads[1::2]], dilations)
    return columns.reshape(attribute(node, "group", 1), -1, columns.shape[-1])
