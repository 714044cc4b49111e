"""The weights of an ONNX model's convolutions, rounded so that what these give stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from lolvit_export.quantization.compensation import Rounded, largest_code, rounded
from lolvit_export.quantization.moments import InputMoments, patches
from lolvit_export.quantization.onnx_graph import Graph, attribute
from lolvit_export.quantization.ranges import Values

WEIGHT_BITS = 8
SMALLEST_SCALE = 1e-12
_NEGLIGIBLE = 1e-4  # a channel of nothing has no step of its own


def weight_scales(weight: Values) -> npt.NDArray[np.float32]:
    """Return one scale for each output channel of a convolution's weight."""
    most = np.abs(weight).max(axis=tuple(range(1, weight.ndim)))
    least = max(float(most.max()) * _NEGLIGIBLE, SMALLEST_SCALE)
    return np.asarray(np.maximum(most / largest_code(WEIGHT_BITS), least), np.float32)


class WeightRounding:
    """The weights of a model's convolutions in 8 bits, depthwise ones too: each once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._layers = {node.name: node for node in graph.nodes if _is_known(graph, node)}
        self._moments = InputMoments()
        self._rounded: dict[str, Rounded] = {}

    @property
    def read(self) -> list[str]:
        """The tensors to observe."""
        return list(dict.fromkeys(node.input[0] for node in self._layers.values()))

    def observe(self, tensor: str, values: Values) -> None:
        """Count a tensor (1, channels, H, W) of one image."""
        for name, node in self._layers.items():
            if node.input[0] == tensor:
                self._moments.add(name, _columns(node, values[0], self._weight(node).shape[2:]))

    def all(self) -> dict[str, Rounded]:
        """Return each convolution's weight (outputs, inputs), and what its bias gains."""
        for name, node in self._layers.items() if not self._rounded else ():
            weight = self._weight(node)
            exact = weight.astype(np.float64).reshape(len(weight), -1)
            steps = weight_scales(weight).astype(np.float64)
            self._rounded[name] = rounded(exact, self._moments.of(name), steps, WEIGHT_BITS)
        return self._rounded

    def _weight(self, node: onnx.NodeProto) -> Values:
        return self._graph.array(node.input[1])


def _is_known(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution of a constant weight, and says where it pads."""
    automatic = any(a.name == "auto_pad" and a.s not in (b"", b"NOTSET") for a in node.attribute)
    return node.op_type == "Conv" and node.input[1] in graph.weights and not automatic


def _columns(node: onnx.NodeProto, image: Values, kernel: tuple[int, ...]) -> Values:
    """Return what each group's weights are multiplied with: (groups, inputs, places)."""
    given = {a.name: tuple(a.ints) for a in node.attribute}
    pads = given.get("pads") or (0, 0, 0, 0)  # top, left, bottom, right
    strides, dilations = given.get("strides") or (1, 1), given.get("dilations") or (1, 1)
    columns = patches(image, kernel, strides, [pads[::2], pads[1::2]], dilations)
    return columns.reshape(attribute(node, "group", 1), -1, columns.shape[-1])
