"""Quantize an ONNX artifact statically: uint8 or uint16 activations, int8 weights per channel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import onnx
from onnx import version_converter

from lolvit.files import write_atomic
from lolvit.manifest import Artifact, Precision, Preprocessing
from lolvit_export.quantization.activation_ranges import ActivationRanges
from lolvit_export.quantization.images import Images, evenly
from lolvit_export.quantization.onnx_bias_correction import (
    BIAS_IMAGES,
    LastCorrected,
    corrected_biases,
)
from lolvit_export.quantization.onnx_forms import with_global_pools
from lolvit_export.quantization.onnx_gemm import gemm_depth
from lolvit_export.quantization.onnx_graph import KINDS, PRODUCT, Graph, run_activations
from lolvit_export.quantization.onnx_joins import shared_ranges, shifted_joins
from lolvit_export.quantization.onnx_qdq import activations_to_quantize, quantized_model
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.quantizer import Layer, quantized_artifact
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.selection import (
    chosen_layers,
    present_recipes,
    reject_gptq,
)
from lolvit_runtimes.preprocessing import Pixels, normalize
from lolvit_runtimes.session import FloatArray

# The first opset whose QuantizeLinear knows 16 bits.
_OPSET_16_BIT = 21
_ACTIVATION_BITS = {"int8": 8, "w8a16": 16}
_CONVOLUTIONS = ("Conv", "Gemm", "MatMul")
_JOINS = ("Add", "Concat", "GlobalAveragePool")
# From the widest to the narrowest. Scalings of a few values are slower as integers in ONNX Runtime,
# unless all around them are integers; a product of two activations is in int8 a matter of both time
# and accuracy.
_RECIPES: dict[str, tuple[str, ...]] = {
    "everything": tuple(sorted(KINDS)),
    "convolutions, sums, joins and activations": (
        *_CONVOLUTIONS, *_JOINS, "Sigmoid", "Mul", "AveragePool",
    ),
    "convolutions, sums, joins and scalings": (*_CONVOLUTIONS, *_JOINS, "Mul"),
    "convolutions, sums, joins and products": (*_CONVOLUTIONS, *_JOINS, PRODUCT),
    "convolutions, sums and joins": (*_CONVOLUTIONS, *_JOINS),
    "convolutions and sums": (*_CONVOLUTIONS, "Add"),
    "convolutions": _CONVOLUTIONS,
}  # fmt: skip


class OnnxQuantizer:
    """Quantizes one fp32 ONNX artifact, once or many times: calibration runs once."""

    corrects_biases = True

    def __init__(
        self,
        fp32_path: Path,
        fp32: Artifact,
        images: Images,
        preprocessing: Preprocessing,
        precision: Precision,
    ) -> None:
        model = onnx.load(str(fp32_path))
        if precision == "w8a16":
            model = version_converter.convert_version(model, _OPSET_16_BIT)
        else:
            model = with_global_pools(model)
        self._graph = Graph(model)
        self._fp32, self._precision = fp32, precision
        self._bits = _ACTIVATION_BITS[precision]
        self._images, self._preprocess = images, preprocessing
        self._ranges = ActivationRanges(self._replay)
        self._corrected = LastCorrected()

    def layers(self) -> Sequence[Layer]:
        """Return what can be quantized, in the order of execution."""
        return [
            Layer(
                node.name,
                kind,
                math.prod(self._graph.shapes.get(node.output[0], (0,))),
                gemm_depth(self._graph, node) if self._bits == 8 else 0,
                node.name in self._graph.output_operations,
            )
            for node in self._graph.nodes
            if (kind := self._graph.kind(node)) in KINDS
            and self._graph.activations(node)
            and not self._graph.divides(node)
        ]

    def recipes(self) -> dict[str, tuple[str, ...]]:
        """Return named sets of kinds of operations that are worth trying, the largest first."""
        return present_recipes(_RECIPES, self.layers())

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to `path`, and describe it.

        Raises:
            UserError: the plan names a layer or a kind of operation that does not exist, or asks
                for GPTQ; an activation overflows on a calibration image.
        """
        reject_gptq(plan)
        chosen = chosen_layers(plan, self.layers(), sorted(KINDS))
        fitted = self._ranges.fit(plan.method, plan.percentile, 2**self._bits)
        # The shift of 16 bits would be too large for a bias of 32.
        shifted = shifted_joins(self._graph, chosen, fitted) if self._bits == 8 else frozenset()
        ranges = shared_ranges(self._graph, chosen, fitted, shifted)
        model = quantized_model(self._graph, chosen, ranges, self._bits, shifted, plan.gemm_layers)
        if plan.bias_correction:
            model = self._corrected.get(plan, partial(self._with_corrected_biases, model))
        onnx.checker.check_model(model, full_check=True)
        write_atomic(path, model.SerializeToString())
        return quantized_artifact(self._fp32, self._precision, path)

    def _with_corrected_biases(self, model: onnx.ModelProto) -> onnx.ModelProto:
        inputs = list(self._inputs(evenly(self._images.calibration, BIAS_IMAGES)))
        return corrected_biases(self._graph, model, inputs)

    def _replay(self) -> Iterator[tuple[str, Values]]:
        names = [layer.name for layer in self.layers()]
        tensors = activations_to_quantize(self._graph, names)
        return run_activations(self._graph.model, tensors, self._inputs(self._images.calibration))

    def _inputs(self, crops: Sequence[Pixels]) -> Iterator[FloatArray]:
        return (normalize(crop, self._preprocess) for crop in crops)
