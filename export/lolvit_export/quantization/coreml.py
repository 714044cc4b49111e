"""Quantize a Core ML package: weights of 8 or 4 bits per channel, and fp16 or 8-bit activations.

coremltools' own activation quantization runs the model, on a Mac only. Here the reference
interpreter gives the ranges, on any system, and the same operations are put into the program.
"""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lolvit.manifest import Artifact, Precision, Preprocessing
from lolvit_export.quantization import coreml_graph as graph
from lolvit_export.quantization.activation_ranges import ActivationRanges
from lolvit_export.quantization.coreml_activations import (
    activations_to_quantize,
    quantize_activations,
)
from lolvit_export.quantization.coreml_weights import (
    FOUR_BITS,
    gptq_layers,
    is_dense,
    store_int4,
    store_int8,
)
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
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_operations.program import prepare
from lolvit_runtimes.mil_package import read_package
from lolvit_runtimes.preprocessing import Pixels, to_input

# The first systems: activations of 8 bits are of iOS 17 and macOS 14, weights of 8 bits of iOS 16
# and macOS 13, weights of 4 bits of iOS 18 and macOS 15.
_TARGETS = {"int8": ct.target.iOS17, "w8a16": ct.target.iOS16, "w4": ct.target.iOS18}
_RECIPES: dict[str, dict[str, tuple[str, ...]]] = {
    "int8": {
        "everything": graph.KINDS,
        "convolutions and sums": (*graph.WEIGHTED, "add"),
        "convolutions": graph.WEIGHTED,
    },
    "w8a16": {"weights": graph.WEIGHTED},
    "w4": {"weights": graph.WEIGHTED},
}


class CoremlQuantizer:
    """Quantizes one fp32 package, once or many times: calibration runs once.

    What it starts from is the package in fp16, which all that stays in float is computed in.
    """

    corrects_biases = False

    def __init__(
        self,
        fp32_path: Path,
        fp32: Artifact,
        images: Images,
        preprocessing: Preprocessing,
        precision: Precision,
    ) -> None:
        self._fp32, self._precision = fp32, precision
        self._images, self._preprocess = images, preprocessing
        self._target: int = _TARGETS[precision].value
        self._kinds = graph.KINDS if precision == "int8" else graph.WEIGHTED
        self._scratch = tempfile.TemporaryDirectory()
        single = read_package(fp32_path)
        path = Path(self._scratch.name) / "model-fp16.mlpackage"
        graph.save(graph.load(single, self._target), single, self._target, path, halve=True)
        self._half = read_package(path)
        self._function = self._half.load_main()
        self._ranges = ActivationRanges(self._replay)
        self._gptq: Gptq | None = None

    def layers(self) -> Sequence[Layer]:
        """Return what can be quantized, in the order of execution."""
        found = graph.layers(self._function, self._kinds)
        if self._precision != "w4":
            return found
        dense = {each.name for each in self._function.operations if is_dense(each)}
        return [each for each in found if each.name in dense]

    def recipes(self) -> dict[str, tuple[str, ...]]:
        """Return named sets of kinds of operations that are worth trying, the largest first."""
        return present_recipes(_RECIPES[self._precision], self.layers())

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to `path`, and describe it.

        Raises:
            UserError: the plan names a layer or a kind of operation that does not exist, or a
                method where no activation is quantized; an activation overflows on a calibration
                image; the place cannot be written.
        """
        reject_bias_correction(plan)
        reject_gptq(plan)
        chosen = chosen_layers(plan, self.layers(), self._kinds)
        program = graph.load(self._half, self._target)
        function = graph.main(program)
        if self._precision == "int8":
            ranges = self._ranges.fit(plan.method, plan.percentile)
            quantize_activations(function, chosen, ranges)
        else:
            reject_ranges(plan)
        if self._precision == "w4":
            weights = self._observed_gptq()
            store_int4(function, {name: weights.quantized(name) for name in chosen})
        else:
            store_int8(function, chosen)
        graph.save(program, self._half, self._target, path)
        return quantized_artifact(self._fp32, self._precision, path)

    def _observed_gptq(self) -> Gptq:
        if self._gptq is None:
            self._gptq = Gptq(gptq_layers(self._function, self._names()), FOUR_BITS)
            for name, value in self._observed(evenly(self._images.calibration, GPTQ_IMAGES)):
                self._gptq.observe(name, value.numpy())
        return self._gptq

    def _names(self) -> list[str]:
        return [layer.name for layer in self.layers()]

    def _replay(self) -> Iterator[tuple[str, Values]]:
        """Yield all that any plan may quantize, image after image."""
        names = {v.name for v in activations_to_quantize(self._function, self._names())}
        for name, value in self._observed(self._images.calibration):
            if name in names:
                yield name, value.numpy()

    def _observed(self, crops: Sequence[Pixels]) -> Iterator[tuple[str, Tensor]]:
        """Yield all that the program computes, image after image."""
        program = prepare(self._function)
        name = self._fp32.image.name
        seen: queue.SimpleQueue[tuple[str, Tensor]] = queue.SimpleQueue()
        for crop in crops:
            image = torch.from_numpy(to_input(crop, self._preprocess, self._fp32.image))
            with torch.inference_mode():
                program.run({name: image}, lambda name, value: seen.put((name, value)))
            while not seen.empty():
                yield seen.get()
