"""Quantize for Qualcomm's HTP: everything, to uint8 or uint16 activations and int8 weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit.manifest import Artifact, HtpTarget, Precision, Preprocessing
from lolvit_export.quantization.activation_ranges import ActivationRanges
from lolvit_export.quantization.gptq import GPTQ_IMAGES, Gptq, QuantizedWeight
from lolvit_export.quantization.images import Images, evenly
from lolvit_export.quantization.onnx_bias_correction import (
    BIAS_IMAGES,
    LastCorrected,
    corrected_biases,
)
from lolvit_export.quantization.onnx_graph import Graph, run_activations
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.qnn_forms import pixel_values, with_pixels, with_reciprocals
from lolvit_export.quantization.qnn_qdq import quantized_model, quantized_tensors
from lolvit_export.quantization.qnn_weights import WEIGHT_BITS, gptq_layers
from lolvit_export.quantization.quantizer import Layer, quantized_artifact
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.rounding import QuantParams
from lolvit_export.quantization.selection import chosen_layers
from lolvit_runtimes.preprocessing import Pixels, normalize
from lolvit_runtimes.qnn_socs import NEEDED_HEXAGON
from lolvit_runtimes.session import FloatArray

_ACTIVATION_BITS = {"int8": 8, "w8a16": 16}


class QnnQuantizer:
    """Quantizes one artifact for HTP, once or many times: calibration runs once. Nothing
    stays in float there, so that a plan chooses how ranges are found and weights rounded."""

    corrects_biases = True

    def __init__(
        self,
        float_path: Path,
        artifact: Artifact,
        images: Images,
        preprocessing: Preprocessing,
        precision: Precision,
    ) -> None:
        model = _named(onnx.load(str(float_path)))
        self._pixels: QuantParams | None = None
        if precision == "int8":  # of 16 bits, a power costs more than a division, widening pixels
            model, self._pixels = with_pixels(with_reciprocals(model), preprocessing)  # than floats
        self._graph = Graph(model)
        self._artifact = artifact if self._pixels is None else _of_pixels(artifact)
        self._precision = precision
        self._images, self._preprocess = images, preprocessing
        self._ranges = ActivationRanges(self._replay)
        self._gptq: Gptq | None = None
        self._corrected = LastCorrected()

    def layers(self) -> Sequence[Layer]:
        """Return every operation, in the order of execution."""
        return [Layer(node.name, node.op_type) for node in self._graph.nodes]

    def recipes(self) -> dict[str, tuple[str, ...]]:
        """Return the one recipe: everything."""
        return {"everything": tuple(sorted({node.op_type for node in self._graph.nodes}))}

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to `path`, and describe it.

        Raises:
            UserError: the plan leaves a layer in float, names one that does not exist, or an
                activation overflows on a calibration image.
        """
        layers, kinds = self.layers(), self.recipes()["everything"]
        if len(chosen_layers(plan, layers, kinds)) < len(layers):
            raise UserError(
                "leaves layers in float, which HTP is slow at",
                where="the plan",
                remedy="name all operations and no float_layers",
            )
        bits = _ACTIVATION_BITS[self._precision]
        ranges = self._ranges.fit(plan.method, plan.percentile, 2**bits)
        weights = self._gptq_weights() if plan.gptq else {}
        model = quantized_model(self._graph, ranges, bits, self._pixels, weights)
        if plan.bias_correction:
            model = self._corrected.get(plan, partial(self._with_corrected_biases, model))
        onnx.checker.check_model(model)
        write_atomic(path, model.SerializeToString())
        target = HtpTarget(hexagon=NEEDED_HEXAGON[self._precision])
        described = quantized_artifact(self._artifact, self._precision, path)
        return described.model_copy(update={"htp": target})

    def _with_corrected_biases(self, model: onnx.ModelProto) -> onnx.ModelProto:
        crops = evenly(self._images.calibration, BIAS_IMAGES)
        images = [self._values(crop) for crop in crops]
        pixels = None if self._pixels is None else [crop[np.newaxis] for crop in crops]
        return corrected_biases(self._graph, model, images, pixels)

    def _replay(self) -> Iterator[tuple[str, Values]]:
        return self._observed(quantized_tensors(self._graph), self._images.calibration)

    def _gptq_weights(self) -> Mapping[str, QuantizedWeight]:
        if self._gptq is None:
            self._gptq = Gptq(gptq_layers(self._graph), WEIGHT_BITS)
            crops = evenly(self._images.calibration, GPTQ_IMAGES)
            for tensor, values in self._observed(self._gptq.inputs, crops):
                self._gptq.observe(tensor, values)
        return self._gptq.all()

    def _observed(
        self, tensors: Sequence[str], crops: Sequence[Pixels]
    ) -> Iterator[tuple[str, Values]]:
        return run_activations(self._graph.model, tensors, map(self._values, crops))

    def _values(self, crop: Pixels) -> FloatArray:
        if self._pixels is not None:
            return pixel_values(crop, self._pixels)
        return normalize(crop, self._preprocess)


def _of_pixels(artifact: Artifact) -> Artifact:
    """Describe an artifact that takes the pixels themselves, channels last."""
    _, channels, height, width = artifact.image.shape
    described = {
        "shape": (1, height, width, channels), "layout": "NHWC", "dtype": "uint8",
        "meaning": "pixels",
    }  # fmt: skip
    return artifact.model_copy(update={"inputs": (artifact.image.model_copy(update=described),)})


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose every operation has a name."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model
