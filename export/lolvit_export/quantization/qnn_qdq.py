"""Write a float ONNX graph with every tensor quantized, as Qualcomm's HTP wants it.

    x ─ Q ─ DQ ─ Conv(DQ(int8 weight), DQ(int32 bias)) ─ Q ─ DQ ─ ...

On a processor an operation that is left in float costs little. HTP computes floats in units of its
own, and changes type on the way there and back: so everything is quantized, the changes of layout
too. Those have the scale and zero point of what they read, a Relu is the lower end of its own
range, and what a Concat joins has the scale and zero point of its result.

Attention's divisor is of as many bits as all else: it is never smaller than its constant. With 16
bits for it in an 8-bit model, LOLViT-X trained on digits has 31.1 dB instead of 30.9 in ONNX
Runtime, and the vendor estimates 0.54 ms on the SA8255P instead of 0.42: each change of width costs
a conversion.

The second factor of a product is a convolution's weight to HTP, which it has to make signed, and
whose zero point it has to take out of a bias, for each image anew. With a zero point in the middle
of the 8 bits, 128, most of that is left out: the vendor estimates 0.284 ms for LOLViT-X on the
SA8540P instead of 0.327, and for MobileViT-XS 1.776 instead of 1.893. A range that would grow by
more than half stays as it is.

Of two factors of 16 bits, the second is converted to int16: of uint16 HTP rounds it to 8 bits
before it multiplies. LOLViT-X of random weights then agrees with eager to 35 dB, not 27; the vendor
estimates 0.740 ms on the SA8255P instead of 0.672, and 0.330 on soc_model 114 instead of 0.382.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lolvit_export.quantization.gptq import QuantizedWeight
from lolvit_export.quantization.onnx_graph import Graph, rebuilt
from lolvit_export.quantization.qnn_weights import WEIGHT_BITS, weight_scales
from lolvit_export.quantization.ranges import Range
from lolvit_export.quantization.rounding import (
    SMALLEST_SCALE,
    Floats,
    QuantParams,
    qmax,
    quant_params,
    round_per_channel,
    unsigned,
)

# Kinds that move values and change none.
CARRIERS = frozenset({"Reshape", "Transpose", "Split", "Slice", "Flatten", "Squeeze", "Unsqueeze"})
_PER_CHANNEL = frozenset({"Conv", "ConvTranspose"})
# Their constants are as wide as their other operand; those of products have 8 bits.
_ELEMENTWISE = frozenset({"Add", "Mul", "Sub", "Div"})
_PIXEL_BITS = 8
_MOST_CENTRED_GROWTH = 1.5  # 0.6 bits
_DOMAIN = "com.microsoft"  # its Q and DQ know 16 bits at every opset


def quantized_tensors(graph: Graph) -> list[str]:
    """Return the activations that are quantized, in execution order."""
    names = [value.name for value in graph.model.graph.input]
    for node in graph.nodes:
        names += [name for name in node.output if name and not _absorbed(graph, node)]
    return names


def _absorbed(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a Relu alone reads what a node gives: the two are one kernel."""
    readers = graph.readers[node.output[0]]
    return len(readers) == 1 and readers[0].op_type == "Relu" and node.op_type != "Relu"


def quantized_model(
    graph: Graph,
    ranges: Mapping[str, Range],
    bits: int,
    pixels: QuantParams | None = None,
    weights: Mapping[str, QuantizedWeight] | None = None,
) -> onnx.ModelProto:
    """Return a copy of the model in which everything is quantized. `ranges` holds the range of each
    of `quantized_tensors`; `bits` (8 or 16) are an activation's. Weights are int8, of convolutions
    one scale an output channel (`weight_scales`); biases int32. `weights` are of convolutions, by
    name; others are rounded to the nearest. With `pixels` the image is uint8 (1, H, W, 3), with
    these parameters; without, float32 (1, 3, H, W)."""
    return _Writer(graph, ranges, bits, pixels, weights or {}).write()


class _Writer:
    def __init__(
        self,
        graph: Graph,
        ranges: Mapping[str, Range],
        bits: int,
        pixels: QuantParams | None,
        weights: Mapping[str, QuantizedWeight],
    ) -> None:
        self.graph = graph
        self.weights = weights
        self.bits = bits
        self.pixels = pixels
        self.image = graph.model.graph.input[0].name
        known = ranges if pixels is None else {**ranges, self.image: pixels.limits(_PIXEL_BITS)}
        self.ranges = _shared(graph, known if bits > 8 else _centred(graph, known))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.renamed: dict[str, str] = {}

    def write(self) -> onnx.ModelProto:
        given = self.image if self.pixels is None else self._planes(self.pixels)
        self._round(given)
        self.renamed[self.image] = self.renamed[given]
        for node in self.graph.nodes:
            self._write(node)
        self._return_floats()
        return self._model()

    def _write(self, node: onnx.NodeProto) -> None:
        source = self.graph.maker.get(node.input[0])
        if node.op_type == "Relu" and source is not None and _absorbed(self.graph, source):
            self.nodes[-1].output[0] = node.output[0]  # its range begins at zero
            self._round(node.output[0])
            return
        written = copy.deepcopy(node)
        for place, name in enumerate(node.input):
            if name in self.renamed:
                written.input[place] = self._operand(node, place, name)
            elif name in self.graph.weights and _is_float(self.graph.weights[name]):
                written.input[place] = self._constant_operand(node, place, name)
        if node.name in self.weights and len(node.input) < 3:
            written.input.append(self._bias(node, None))
        self.nodes.append(written)
        if not _absorbed(self.graph, node):
            for name in node.output:
                self._round(name)

    def _round(self, tensor: str) -> None:
        params = quant_params(self.ranges[tensor], self.bits)
        stored = self._params(tensor, params, unsigned(self.bits))
        self.renamed[tensor] = self._quantize_dequantize(tensor, tensor, stored)

    def _quantize_dequantize(self, given: str, label: str, params: list[str]) -> str:
        quantized, back = f"{label}/quantized", f"{label}/dequantized"
        self._node("QuantizeLinear", [given, *params], quantized)
        self._node("DequantizeLinear", [quantized, *params], back)
        return back

    def _operand(self, node: onnx.NodeProto, place: int, tensor: str) -> str:
        """Return an activation as an operation reads it: signed, if it is the second factor."""
        product = node.op_type == "MatMul" and place == 1 and node.input[0] in self.renamed
        if not product or self.bits == 8:
            return self.renamed[tensor]
        signed = f"{tensor}/signed"
        if signed not in self.renamed:
            scale = max(*map(abs, self.ranges[tensor]), SMALLEST_SCALE) / qmax(16)
            params = self._params(signed, QuantParams(np.float32(scale), 0), np.dtype(np.int16))
            self.renamed[signed] = self._quantize_dequantize(self.renamed[tensor], signed, params)
        return self.renamed[signed]

    def _planes(self, pixels: QuantParams) -> str:
        """Write the way from pixels (1, H, W, 3) to planes (1, 3, H, W); return the latter, which
        stand for the image from there on."""
        values, planes, label = (f"{self.image}/{each}" for each in ("values", "planes", "pixels"))
        params = self._params(label, pixels, unsigned(_PIXEL_BITS))
        self._node("DequantizeLinear", [self.image, *params], values)
        turned = helper.make_node("Transpose", [values], [planes], planes, perm=[0, 3, 1, 2])
        self.nodes.append(turned)
        self.ranges[planes] = self.ranges[self.image]
        return planes

    def _constant_operand(self, node: onnx.NodeProto, place: int, name: str) -> str:
        weighted = node.op_type in ("Conv", "Gemm", "MatMul", "LayerNormalization")
        if weighted and place == 2:
            return self._bias(node, name)
        if node.op_type in _PER_CHANNEL:
            return self._weight(node, name)
        return self._tensor(name, self.bits if node.op_type in _ELEMENTWISE else WEIGHT_BITS)

    def _tensor(self, name: str, bits: int) -> str:
        values, label = self.graph.array(name), f"{name}/{bits}"
        params = quant_params((float(values.min()), float(values.max())), bits)
        stored = self._params(label, params, unsigned(bits))
        return self._dequantized(label, params.quantize(values, bits), stored)

    def _weight(self, node: onnx.NodeProto, name: str) -> str:
        values = self.graph.array(name)
        scales = self._weight_scales(node, name)
        if node.name in self.weights:
            qweight = self.weights[node.name].qweight.reshape(values.shape)
        else:
            qweight = round_per_channel(values, scales, WEIGHT_BITS)
        label = f"{node.name}/weight"
        stored = self._channel_params(label, scales, np.int8)
        return self._dequantized(label, qweight, stored, axis=0)

    def _weight_scales(self, node: onnx.NodeProto, name: str) -> Floats:
        """Return one scale an output channel of a convolution, one in all of what else there is."""
        values = self.graph.array(name)
        if node.op_type in _PER_CHANNEL:
            return weight_scales(values)
        params = quant_params((float(values.min()), float(values.max())), WEIGHT_BITS)
        return np.asarray([params.scale], np.float32)

    def _bias(self, node: onnx.NodeProto, name: str | None) -> str:
        """Return a bias in int32, whose scale is that of the input times that of the weight."""
        scale = quant_params(self.ranges[node.input[0]], self.bits).scale
        scales = (self._weight_scales(node, node.input[1]) * scale).astype(np.float32)
        given = np.zeros(scales.shape) if name is None else self.graph.array(name)
        values = given.reshape(-1).astype(np.float64)
        if node.name in self.weights:
            values = values + self.weights[node.name].bias_correction
        exact = np.rint(values / scales.astype(np.float64))
        bias = np.clip(exact, -qmax(32), qmax(32)).astype(np.int32)
        label = f"{node.name}/bias"
        if scales.size == 1:
            params = self._params(label, QuantParams(scales[0], 0), np.dtype(np.int32))
            return self._dequantized(label, bias, params)
        return self._dequantized(label, bias, self._channel_params(label, scales, np.int32), axis=0)

    def _return_floats(self) -> None:
        for value in self.graph.model.graph.output:
            back = self.renamed[value.name]
            rounded = f"{value.name}/before"
            for node in self.nodes:
                for place, name in enumerate(node.output):
                    if name == value.name:
                        node.output[place] = rounded
                    elif name == back:
                        node.output[place] = value.name
                for place, name in enumerate(node.input):
                    if name == value.name:
                        node.input[place] = rounded

    def _params(self, label: str, params: QuantParams, dtype: np.dtype[Any]) -> list[str]:
        return [
            self._constant(f"{label}/scale", np.asarray(params.scale, np.float32)),
            self._constant(f"{label}/zero_point", np.asarray(params.zero_point, dtype)),
        ]

    def _channel_params(self, label: str, scales: Floats, dtype: type) -> list[str]:
        return [
            self._constant(f"{label}/scale", scales),
            self._constant(f"{label}/zero_point", np.zeros(scales.shape, dtype)),
        ]

    def _dequantized(
        self,
        label: str,
        integers: npt.NDArray[np.generic],
        params: list[str],
        axis: int | None = None,
    ) -> str:
        back = f"{label}/dequantized"
        if f"{label}/quantized" not in self.constants:
            stored = self._constant(f"{label}/quantized", integers)
            self._node("DequantizeLinear", [stored, *params], back, axis=axis)
        return back

    def _node(self, kind: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        made = helper.make_node(kind, inputs, [output], output, domain=_DOMAIN)
        if axis is not None:
            made.attribute.append(helper.make_attribute("axis", axis))
        self.nodes.append(made)

    def _constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def _model(self) -> onnx.ModelProto:
        model = rebuilt(self.graph.model, self.nodes, list(self.constants.values()))
        del model.graph.value_info[:]
        if self.pixels is not None:
            _, channels, *sides = _extents(model.graph.input[0])
            model.graph.input[0].CopyFrom(
                helper.make_tensor_value_info(self.image, TensorProto.UINT8, [1, *sides, channels])
            )
        if all(opset.domain != _DOMAIN for opset in model.opset_import):
            model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
        return model


def _centred(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return ranges in which second factors of products have the zero point 128, and so what they
    are moved from."""
    result = dict(ranges)
    for node in graph.nodes:
        if node.op_type != "MatMul" or node.input[1] not in graph.maker:
            continue
        tensor = node.input[1]
        while (maker := graph.maker.get(tensor)) is not None and maker.op_type in CARRIERS:
            tensor = maker.input[0]
        lowest, highest = ranges[tensor]
        largest = max(-lowest, highest)
        if 2 * largest <= _MOST_CENTRED_GROWTH * (highest - lowest):
            result[tensor] = -largest * 128 / 127, largest
    return result


def _shared(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return ranges in which what moves values keeps its input's, and what is joined has one."""
    result = dict(ranges)
    for node in reversed(graph.nodes):
        if node.op_type == "Concat":
            names = [*node.input, node.output[0]]
            joined = min(result[n][0] for n in names), max(result[n][1] for n in names)
            result.update(dict.fromkeys(names, joined))
    for node in graph.nodes:
        if node.op_type in CARRIERS:
            result.update(dict.fromkeys(node.output, result[node.input[0]]))
        if node.op_type == "Relu" and node.output[0] in result:
            result[node.output[0]] = 0.0, max(result[node.output[0]][1], SMALLEST_SCALE)
    return result


def _extents(value: onnx.ValueInfoProto) -> list[int]:
    return [int(extent.dim_value) for extent in value.type.tensor_type.shape.dim]


def _is_float(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_type == onnx.TensorProto.FLOAT)
