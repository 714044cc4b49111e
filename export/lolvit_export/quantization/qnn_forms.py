"""Forms of a float ONNX model that Qualcomm's HTP computes faster once it is quantized.

a ÷ b            becomes   a · b⁻¹         of 8 bits, a power of one operand is a table
image, floats    becomes   image, pixels   a quarter of the bytes, and nothing to round
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from lolvit.manifest import Preprocessing
from lolvit_export.quantization.onnx_graph import Graph, attribute, rebuilt
from lolvit_export.quantization.ranges import Range
from lolvit_runtimes.preprocessing import Pixels
from lolvit_runtimes.session import FloatArray

_LEVELS = 255


@dataclass(frozen=True)
class PixelGrid:
    """Which value a pixel stands for: (pixel - zero) * scale, in all channels."""

    scale: float
    zero: int

    @property
    def limits(self) -> Range:
        """The values of pixels 0 and 255."""
        return -self.zero * self.scale, (_LEVELS - self.zero) * self.scale

    def values(self, pixels: Pixels) -> FloatArray:
        """Return the values (1, 3, H, W) of pixels (H, W, 3)."""
        exact = (pixels.astype(np.float32) - np.float32(self.zero)) * np.float32(self.scale)
        return np.ascontiguousarray(exact.transpose(2, 0, 1)[np.newaxis])


def with_reciprocals(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which what is divided by an activation is multiplied by its power of -1.

    The vendor's estimate of LOLViT-X in int8 for the SA8255P falls from 0.31 to 0.25 ms, and its
    agreement with eager by 0.05 dB.
    """
    graph = Graph(model)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for node in graph.nodes:
        if node.op_type != "Div" or node.input[1] in graph.weights:
            nodes.append(node)
            continue
        power, exponent = f"{node.name}/reciprocal", f"{node.name}/exponent"
        constants.append(numpy_helper.from_array(np.asarray(-1, np.float32), exponent))
        nodes.append(helper.make_node("Pow", [node.input[1], exponent], [power], power))
        factors = [node.input[0], power]
        nodes.append(helper.make_node("Mul", factors, list(node.output), node.name))
    return rebuilt(model, nodes, constants)


def with_pixels(
    model: onnx.ModelProto, preprocessing: Preprocessing
) -> tuple[onnx.ModelProto, PixelGrid | None]:
    """Return a copy that takes values of a grid of pixels instead of normalized ones, and the grid;
    the model as it is, and None, where the two can't be the same to rounding.

    The convolutions that read the image take up the rest of the normalization: what differs between
    channels, and what keeps zero from being a pixel. With padding they can't take up the latter.
    """
    graph = Graph(model)
    image = model.graph.input[0].name
    scales = 1 / (_LEVELS * np.asarray(preprocessing.std))  # of each channel, a pixel
    offsets = _LEVELS * np.asarray(preprocessing.mean)  # the pixel that is normalized to zero
    made = PixelGrid(float(scales[0]), int(np.clip(np.rint(offsets.mean()), 0, _LEVELS)))
    rest = (made.zero - offsets) * scales  # the value of each channel at the zero
    readers = graph.readers[image]
    if not readers or not all(_takes(graph, node, padded=not rest.any()) for node in readers):
        return model, None
    result = copy.deepcopy(model)
    stored = {each.name: each for each in result.graph.initializer}
    for number, node in enumerate(each for each in result.graph.node if image in each.input):
        weight = numpy_helper.to_array(stored[node.input[1]]).astype(np.float64)
        bias = [stored[name] for name in node.input[2:] if name]
        before = numpy_helper.to_array(bias[0]) if bias else np.zeros(len(weight))
        shifted = before + weight.sum(axis=(2, 3)) @ rest
        names = f"{image}/weight_{number}", f"{image}/bias_{number}"
        scaled = weight * (scales / made.scale)[None, :, None, None]
        for name, values in zip(names, (scaled, shifted), strict=True):
            result.graph.initializer.append(_float_tensor(name, values))
        del node.input[1:]
        node.input.extend(names)
    return rebuilt(result, list(result.graph.node), []), made


def _takes(graph: Graph, node: onnx.NodeProto, *, padded: bool) -> bool:
    """Whether a node is a convolution that can take up a scale and, unless `padded`, an offset."""
    pads = next((list(a.ints) for a in node.attribute if a.name == "pads"), [])
    return (
        node.op_type == "Conv"
        and attribute(node, "group", 1) == 1
        and all(name in graph.weights for name in node.input[1:] if name)
        and (padded or not any(pads))
    )


def _float_tensor(name: str, values: npt.NDArray[np.float64]) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)
