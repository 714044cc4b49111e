"""Quantize a TFLite artifact statically by ai-edge-quantizer: int8 or int16 activations, int8
weights per channel, float32 image in and float32 logits out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer.quantizer import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer as EdgeQuantizer

from lolvit.artifact import Artifact, Precision, Preprocess
from lolvit.files import write_atomic
from lolvit_export.quantization.activation_ranges import ActivationRanges
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.quantizer import Layer, quantized_artifact
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.selection import chosen_layers, present_recipes
from lolvit_export.quantization.tflite_graph import KINDS, Graph
from lolvit_runtimes.preprocess import to_input

_WEIGHT_BITS = 8
_ACTIVATION_BITS = {"int8": 8, "w8a16": 16}

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_JOINS = ("ADD", "CONCATENATION", "PAD")
_MOVES = ("MEAN", "RESHAPE", "TRANSPOSE")
# By precision, from the widest to the narrowest. XNNPACK has no product of two 8-bit activations,
# nor an 8-bit ReLU by itself: each is an island among its operations. In 16 bits it has nothing at
# all, and LiteRT's own kernels run: that precision is for accelerators, which want few islands.
_RECIPES: dict[str, dict[str, tuple[str, ...]]] = {
    "int8": {
        "everything": KINDS,
        "convolutions, joins, moves and activations": (
            *_CONVOLUTIONS, *_JOINS, *_MOVES, "LOGISTIC", "MUL", "AVERAGE_POOL_2D",
        ),
        "convolutions, joins and activations": (*_CONVOLUTIONS, *_JOINS, "LOGISTIC", "MUL"),
        "convolutions, joins and moves": (*_CONVOLUTIONS, *_JOINS, *_MOVES),
        "convolutions and joins": (*_CONVOLUTIONS, *_JOINS),
        "convolutions": _CONVOLUTIONS,
    },
    "w8a16": {
        "everything": KINDS,
        "convolutions, joins and moves": (*_CONVOLUTIONS, *_JOINS, *_MOVES),
    },
}  # fmt: skip


class TfliteQuantizer:
    """Quantizes one fp32 TFLite artifact, as often as asked: activations are looked at once."""

    def __init__(
        self,
        fp32_path: Path,
        fp32: Artifact,
        images: Images,
        preprocess: Preprocess,
        precision: Precision,
    ) -> None:
        self._path, self._fp32 = fp32_path, fp32
        self._images, self._preprocess = images, preprocess
        self._precision, self._bits = precision, _ACTIVATION_BITS[precision]
        self._graph = Graph(fp32_path)
        self._ranges = ActivationRanges(self._replay)

    def layers(self) -> Sequence[Layer]:
        """Return what can be quantized, in the order of execution; an operation is named by the
        tensor that it gives."""
        return self._graph.layers()

    def recipes(self) -> dict[str, tuple[str, ...]]:
        """Return named sets of kinds of operations that are worth trying, the largest first."""
        return present_recipes(_RECIPES[self._precision], self.layers())

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to `path`, and describe it.

        Raises:
            UserError: the plan names a layer or a kind of operation that does not exist, or an
                activation overflows on a calibration image.
        """
        quantizer = EdgeQuantizer(str(self._path))
        self._add_recipe(quantizer, plan)
        quantized = quantizer.quantize(
            self._statistics(plan), enable_progress_bar=False, enable_progress_report=False
        )
        write_atomic(path, bytes(quantized.quantized_model))
        return quantized_artifact(self._fp32, self._precision, path)

    def _add_recipe(self, quantizer: EdgeQuantizer, plan: Plan) -> None:
        """Name the plan's kinds, and after them each operation of those kinds that stays in float:
        of what matches, the library takes the last."""
        chosen = chosen_layers(plan, self.layers(), KINDS)
        for kind in plan.operations:
            quantizer.add_static_config(".*", kind, self._bits, _WEIGHT_BITS)
        for operation in self._graph.operations:
            if operation.kind in plan.operations and operation.name not in chosen:
                quantizer.update_quantization_recipe(
                    f"^{re.escape(operation.name)};$",
                    operation.kind,
                    algorithm_key=AlgorithmName.NO_QUANTIZE,
                )

    def _statistics(self, plan: Plan) -> dict[str, dict[str, Values]]:
        """Return each activation's lowest and highest value, of its tensor's rank."""
        ranges = self._ranges.fit(plan.method, plan.percentile, 1 << self._bits)
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
        interpreter = _showing_all(self._path)
        image = interpreter.get_input_details()[0]["index"]
        for crop in self._images.calibration:
            interpreter.set_tensor(image, to_input(crop, self._preprocess, self._fp32.input))
            interpreter.invoke()
            for index in self._graph.activations:
                yield self._graph.tensors[index], interpreter.get_tensor(index)


def _showing_all(path: Path) -> Any:
    """Return an interpreter whose activations can be read after a run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this takes memory
        interpreter: Any = Interpreter(
            str(path), num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter
