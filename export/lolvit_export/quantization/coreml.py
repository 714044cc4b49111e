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
from lolvit_export.quantization.coreml_four_bits import (
    WeightRounding,
    is_dense,
    quantize_to_four_bits,
)
from lolvit_export.quantization.coreml_integers import (
    marked,
    quantize_activations,
    quantize_weights,
)
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.moments import spread
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.quantizer import Layer, quantized_artifact
from lolvit_export.quantization.ranges import Values
from lolvit_export.quantization.selection import (
    chosen_layers,
    present_recipes,
    refuse_bias_correction,
    refuse_compensation,
    refuse_ranges,
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
    """Quantizes one fp32 package, as often as asked: activations are looked at once.

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
        self._rounding: WeightRounding | None = None

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
        refuse_bias_correction(plan)
        refuse_compensation(plan)
        chosen = chosen_layers(plan, self.layers(), self._kinds)
        program = graph.load(self._half, self._target)
        function = graph.main(program)
        if self._precision == "int8":
            ranges = self._ranges.fit(plan.method, plan.percentile)
            quantize_activations(function, chosen, ranges)
        else:
            refuse_ranges(plan)
        if self._precision == "w4":
            quantize_to_four_bits(function, {name: self._four_bits().of(name) for name in chosen})
        else:
            quantize_weights(function, chosen)
        graph.save(program, self._half, self._target, path)
        return quantized_artifact(self._fp32, self._precision, path)

    def _four_bits(self) -> WeightRounding:
        if self._rounding is None:
            self._rounding = WeightRounding(self._function, [layer.name for layer in self.layers()])
            for name, value in self._observed(spread(self._images.calibration)):
                self._rounding.observe(name, value)
        return self._rounding

    def _replay(self) -> Iterator[tuple[str, Values]]:
        """Yield all that any plan may quantize, image after image."""
        names = {v.name for v in marked(self._function, [each.name for each in self.layers()])}
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
