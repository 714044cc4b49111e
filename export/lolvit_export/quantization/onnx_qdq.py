"""Write an ONNX graph with QuantizeLinear and DequantizeLinear around what is quantized (QDQ form).

    x ─ Q ─ DQ ─ Conv(DQ(int8 weight), DQ(int32 bias)) ─ Relu ─ Q ─ DQ ─ ...

Runtimes fuse each operation between DQ and Q into one integer kernel, its ReLU included.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from lolvit_export.quantization.onnx_graph import (
    CARRIERS,
    PRODUCT,
    WEIGHTED,
    Graph,
    attribute,
    rebuilt,
)
from lolvit_export.quantization.ranges import Range

_INT8_MAX = 127
# Of a bias in int32, less what the sum of products may add to it.
LARGEST_BIAS = 2.0**30
BIAS = "{}/bias/quantized"  # of a layer, by its name: steps in int32
_SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class Grid:
    """The values that a quantized activation may have: (q - zero) * scale."""

    scale: np.float32
    zero: int


def grid(limits: Range, levels: int) -> Grid:
    """Return the grid of `levels` values over a range; zero is always one of them."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    scale = max((high - low) / (levels - 1), _SMALLEST_SCALE)
    return Grid(np.float32(scale), int(np.clip(round(-low / scale), 0, levels - 1)))


def quantized_model(
    graph: Graph, chosen: Collection[str], ranges: Mapping[str, Range], bits: int
) -> onnx.ModelProto:
    """Return a copy of the model in which the operations named in `chosen` are quantized.

    `ranges` holds the range of each of their activations; `bits` (8 or 16) are an activation's.
    Weights are int8, symmetric, one scale an output channel; biases int32.
    """
    return _Writer(graph, chosen, ranges, bits).write()


def marked(graph: Graph, chosen: Collection[str]) -> list[str]:
    """Return the activations that quantizing `chosen` quantizes, in the order of execution."""
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.name not in chosen:
            continue
        found.update(dict.fromkeys(graph.activations(node)))
        if _rounds_output(graph, node, chosen):
            found[graph.end(node)] = None
    return list(found)


def _rounds_output(graph: Graph, node: onnx.NodeProto, chosen: Collection[str]) -> bool:
    """Products with float results have kernels of their own; all else needs a quantized result."""
    end = graph.end(node)
    read_as_integers = any(reader.name in chosen for reader in graph.readers[end])
    return read_as_integers or node.op_type not in ("Gemm", "MatMul")


class _Writer:
    def __init__(
        self, graph: Graph, chosen: Collection[str], ranges: Mapping[str, Range], bits: int
    ) -> None:
        self.graph, self.chosen = graph, frozenset(chosen)
        self.levels = 2**bits
        self.dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
        self.grids = {name: grid(ranges[name], self.levels) for name in marked(graph, chosen)}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.rounded: dict[str, str] = {}  # an activation: its name behind Q and DQ

    def write(self) -> onnx.ModelProto:
        for value in self.graph.model.graph.input:
            self._round(value.name)
        for node in self.graph.nodes:
            self._write(node)
            for name in node.output:
                self._round(name)
        return self._model()

    def _write(self, node: onnx.NodeProto) -> None:
        integer = node.name in self.chosen
        written = copy.deepcopy(node)
        for place, name in enumerate(node.input):
            if name in self.rounded and (integer or self._made_of_integers(name)):
                written.input[place] = self.rounded[name]
        if integer:
            self._round_constants(node, written)
        self.nodes.append(written)

    def _made_of_integers(self, tensor: str) -> bool:
        """Whether a kernel gives a tensor rounded already, so that no finer one exists."""
        maker = self.graph.begin(tensor)
        return maker is not None and maker.name in self.chosen

    def _round(self, tensor: str) -> None:
        if tensor not in self.grids:
            return
        scale, zero = self._parameters(tensor, self.grids[tensor])
        codes, back = f"{tensor}/quantized", f"{tensor}/dequantized"
        self.nodes.append(
            helper.make_node("QuantizeLinear", [tensor, scale, zero], [codes], f"{tensor}/quantize")
        )
        self.nodes.append(
            helper.make_node(
                "DequantizeLinear", [codes, scale, zero], [back], f"{tensor}/dequantize"
            )
        )
        self.rounded[tensor] = back

    def _parameters(self, name: str, chosen: Grid) -> tuple[str, str]:
        return (
            self._constant(f"{name}/scale", np.asarray(chosen.scale)),
            self._constant(f"{name}/zero_point", np.asarray(chosen.zero, self.dtype)),
        )

    def _round_constants(self, node: onnx.NodeProto, written: onnx.NodeProto) -> None:
        kind = self.graph.kind(node)
        if kind in WEIGHTED:
            self._round_weights(node, written)
        elif kind not in CARRIERS and kind != PRODUCT:
            for place, name in enumerate(node.input):
                if name in self.graph.weights:
                    written.input[place] = self._round_operand(name)

    def _round_operand(self, name: str) -> str:
        """Quantize a constant that is added or multiplied as an activation is."""
        values = self.graph.array(name)
        chosen = grid((float(values.min()), float(values.max())), self.levels)
        codes = np.clip(np.rint(values / chosen.scale) + chosen.zero, 0, self.levels - 1)
        return self._dequantized(name, codes.astype(self.dtype), self._parameters(name, chosen))

    def _round_weights(self, node: onnx.NodeProto, written: onnx.NodeProto) -> None:
        axis = _channel_axis(node)
        values = self.graph.array(node.input[1])
        others = tuple(i for i in range(values.ndim) if i != axis)
        scales = np.maximum(np.abs(values).max(axis=others) / _INT8_MAX, _SMALLEST_SCALE)
        step = float(self.grids[node.input[0]].scale)
        bias = self._bias(node)
        if bias is not None:  # a channel of tiny weights must not make its bias overflow
            scales = np.maximum(scales, np.abs(bias) / (step * LARGEST_BIAS))
        scales = scales.astype(np.float32)
        spread = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        codes = np.clip(np.rint(values / spread), -_INT8_MAX, _INT8_MAX).astype(np.int8)
        written.input[1] = self._per_channel(f"{node.name}/weight", codes, scales, axis)
        if bias is not None:
            steps = scales * np.float32(step)
            levels = np.rint(bias / steps.astype(np.float64)).astype(np.int32)
            written.input[2] = self._per_channel(f"{node.name}/bias", levels, steps, 0)

    def _bias(self, node: onnx.NodeProto) -> npt.NDArray[np.float32] | None:
        if node.op_type == "MatMul" or len(node.input) < 3 or not node.input[2]:
            return None
        return self.graph.array(node.input[2]).reshape(-1)

    def _per_channel(
        self,
        name: str,
        codes: npt.NDArray[np.int8] | npt.NDArray[np.int32],
        scales: npt.NDArray[np.float32],
        axis: int,
    ) -> str:
        parameters = (
            self._constant(f"{name}/scale", scales),
            self._constant(f"{name}/zero_point", np.zeros(scales.shape, codes.dtype)),
        )
        return self._dequantized(name, codes, parameters, axis=axis)

    def _dequantized(
        self, name: str, codes: npt.NDArray[np.generic], parameters: tuple[str, str], axis: int = 1
    ) -> str:
        """Add integer constants and the operation that gives their values; return its output."""
        back = f"{name}/dequantized"
        if f"{name}/quantized" not in self.constants:
            stored = self._constant(f"{name}/quantized", codes)
            node = helper.make_node(
                "DequantizeLinear", [stored, *parameters], [back], f"{name}/dequantize", axis=axis
            )
            self.nodes.append(node)
        return back

    def _constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def _model(self) -> onnx.ModelProto:
        return rebuilt(self.graph.model, self.nodes, list(self.constants.values()))


def _channel_axis(node: onnx.NodeProto) -> int:
    """Return the axis of an operation's weight that counts its outputs."""
    if node.op_type == "MatMul":
        return 1
    return 1 if node.op_type == "Gemm" and not attribute(node, "transB", 0) else 0
