"""Quantize a TFLite artifact statically by ai-edge-quantizer: int8 or int16 activations, int8
weights per channel, float32 image in and float32 logits out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.quantizer import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer as EdgeQuantizer

from lolvit.files import write_atomic
from lolvit.manifest import Artifact, Precision, Preprocessing
from lolvit_export.quantization import tflite_weights
from lolvit_export.quantization.activation_ranges import ActivationRanges
from lolvit_export.quantization.gptq import GPTQ_IMAGES, Gptq
from lolvit_export.quantization.images import Images, evenly
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.quantizer import Layer, quantized_artifact
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.selection import (
    chosen_layers,
    present_recipes,
    reject_bias_correction,
    reject_gptq,
    reject_ranges,
)
from lolvit_export.quantization.tflite_bias_correction import correct_biases
from lolvit_export.quantization.tflite_graph import KINDS, WEIGHTED, Graph
from lolvit_runtimes.preprocessing import Pixels, to_input

_WEIGHT_BITS = 8
_ACTIVATION_BITS = {"int8": 8, "w8a16": 16}
_BIAS_IMAGES = 16  # every layer after another: each image counts once for each

_CONVOLUTIONS = WEIGHTED
_JOINS = ("ADD", "CONCATENATION", "PAD")
_MOVES = ("MEAN", "RESHAPE", "TRANSPOSE")
_DENSE = ("CONV_2D", "FULLY_CONNECTED")  # and pointwise ones
# By precision, from the widest to the narrowest. XNNPACK has no product of two 8-bit activations,
# nor an 8-bit ReLU by itself: each is an island among its operations. On x86 its 8-bit depthwise
# convolutions take longer than those in float, and it has no 8-bit average pool. In 16 bits it has
# nothing at all, and LiteRT's own kernels run: that precision is for accelerators, which want few
# islands.
_RECIPES: dict[str, dict[str, tuple[str, ...]]] = {
    "int8": {
        "everything": KINDS,
        "convolutions, joins, moves and activations": (
            *_CONVOLUTIONS, *_JOINS, *_MOVES, "LOGISTIC", "MUL", "AVERAGE_POOL_2D",
        ),
        "convolutions, joins and activations": (*_CONVOLUTIONS, *_JOINS, "LOGISTIC", "MUL"),
        "convolutions, joins and moves": (*_CONVOLUTIONS, *_JOINS, *_MOVES),
        "convolutions and joins": (*_CONVOLUTIONS, *_JOINS),
        "dense convolutions, joins, moves and scalings": (
            *_DENSE, *_JOINS, *_MOVES, "LOGISTIC", "MUL",
        ),
        "dense convolutions, sums and joins": (*_DENSE, "ADD", "CONCATENATION"),
        "convolutions": _CONVOLUTIONS,
    },
    "w8a16": {
        "everything": KINDS,
        "convolutions, joins and moves": (*_CONVOLUTIONS, *_JOINS, *_MOVES),
    },
    "w4": {"weights": tflite_weights.KINDS},
}  # fmt: skip


class TfliteQuantizer:
    """Quantizes one fp32 TFLite artifact, once or many times: calibration runs once."""

    def __init__(
        self,
        fp32_path: Path,
        fp32: Artifact,
        images: Images,
        preprocessing: Preprocessing,
        precision: Precision,
    ) -> None:
        self._path, self._fp32 = fp32_path, fp32
        self._images, self._preprocess = images, preprocessing
        self._precision = precision
        self.corrects_biases = precision != "w4"  # which always does, by GPTQ
        self._graph = Graph(fp32_path)
        self._ranges = ActivationRanges(self._replay)
        self._gptq: Gptq | None = None

    def layers(self) -> Sequence[Layer]:
        """Return what can be quantized, in the order of execution; an operation is named by the
        tensor that it gives."""
        found = self._graph.layers()
        if self._precision != "w4":
            return found
        return [layer for layer in found if layer.name in self._model.layers]

    @cached_property
    def _model(self) -> tflite_weights.FloatModel:
        return tflite_weights.FloatModel(self._path, self._graph.operations)

    def recipes(self) -> dict[str, tuple[str, ...]]:
        """Return named sets of kinds of operations that are worth trying, the largest first."""
        return present_recipes(_RECIPES[self._precision], self.layers())

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to `path`, and describe it.

        Raises:
            UserError: the plan names a layer or a kind of operation that does not exist, or an
                activation overflows on a calibration image.
        """
        if not self.corrects_biases:
            reject_bias_correction(plan)
        reject_gptq(plan)
        kinds = tflite_weights.KINDS if self._precision == "w4" else KINDS
        chosen = chosen_layers(plan, self.layers(), kinds)
        if self._precision == "w4":
            reject_ranges(plan)
            written = self._in_four_bits(plan, chosen)
        else:
            written = self._in_integers(plan, chosen)
        write_atomic(path, bytes(written))
        return quantized_artifact(self._fp32, self._precision, path)

    def _in_integers(self, plan: Plan, chosen: Collection[str]) -> bytearray:
        bits = _ACTIVATION_BITS[self._precision]
        quantizer = EdgeQuantizer(str(self._path))
        for kind in plan.operations:
            quantizer.add_static_config(".*", kind, bits, _WEIGHT_BITS)
        self._leave_rest(quantizer, plan, chosen)
        written = _run(quantizer, self._statistics(plan, 1 << bits))
        if plan.bias_correction:
            crops = evenly(self._images.calibration, _BIAS_IMAGES)
            images = [to_input(each, self._preprocess, self._fp32.image) for each in crops]
            correct_biases(self._path.read_bytes(), written, images)
        return written

    def _in_four_bits(self, plan: Plan, chosen: Collection[str]) -> bytearray:
        """LiteRT multiplies 4-bit weights with what it rounds an activation to on the way, 8 bits
        in the range that each image has: it has no kernels for anything else."""
        gptq = self._observed_gptq()
        weights = {name: gptq.quantized(name) for name in chosen}
        quantizer = EdgeQuantizer(self._model.corrected(weights))
        for kind in plan.operations:
            quantizer.add_dynamic_config(".*", kind, tflite_weights.FOUR_BITS)
        self._leave_rest(quantizer, plan, chosen)
        written = _run(quantizer)
        tflite_weights.put_weights(written, weights)
        return written

    def _observed_gptq(self) -> Gptq:
        if self._gptq is None:
            self._gptq = Gptq(self._model.gptq_layers(), tflite_weights.FOUR_BITS)
            for read in self._observed_images(evenly(self._images.calibration, GPTQ_IMAGES)):
                for number in self._gptq.inputs:
                    self._gptq.observe(number, read(int(number)))
        return self._gptq

    def _leave_rest(self, quantizer: EdgeQuantizer, plan: Plan, chosen: Collection[str]) -> None:
        """Name each operation of the plan's kinds that stays in float, after the kinds: of what
        matches, the library takes the last."""
        for operation in self._graph.operations:
            if operation.kind in plan.operations and operation.name not in chosen:
                quantizer.update_quantization_recipe(
                    f"^{re.escape(operation.name)};$",
                    operation.kind,
                    algorithm_key=AlgorithmName.NO_QUANTIZE,
                )

    def _statistics(self, plan: Plan, levels: int) -> dict[str, dict[str, Values]]:
        """Return each activation's lowest and highest value, of its tensor's rank."""
        ranges = self._ranges.fit(plan.method, plan.percentile, levels)
        ranks = dict(zip(self._graph.tensors, self._graph.ranks, strict=True))
        return {
            name: {
                end: np.full((1,) * ranks[name], value, np.float32)
                for end, value in zip(("min", "max"), limits, strict=True)
            }
            for name, limits in ranges.items()
        }

    def _replay(self) -> Iterator[tuple[str, Values]]:
        """Yield all activations of the fp32 artifact, image after image."""
        for read in self._observed_images(self._images.calibration):
            for index in self._graph.activations:
                yield self._graph.tensors[index], read(index)

    def _observed_images(self, crops: Sequence[Pixels]) -> Iterator[Callable[[int], Values]]:
        """Run each image through the fp32 artifact; yield what reads a tensor by its number."""
        interpreter = _showing_all(self._path)
        image = interpreter.get_input_details()[0]["index"]
        for crop in crops:
            interpreter.set_tensor(image, to_input(crop, self._preprocess, self._fp32.image))
            interpreter.invoke()
            yield interpreter.get_tensor


def _run(quantizer: EdgeQuantizer, statistics: dict[str, Any] | None = None) -> bytearray:
    quantized = quantizer.quantize(
        statistics, enable_progress_bar=False, enable_progress_report=False
    )
    return bytearray(quantized.quantized_model)


def _showing_all(path: Path) -> Any:
    """Return an interpreter whose activations can be read after a run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this takes memory
        interpreter: Any = Interpreter(
            str(path), num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter
