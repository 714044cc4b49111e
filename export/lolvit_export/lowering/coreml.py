"""Lower to a Core ML ML Program with an image input, as Vision and Core ML apps provide it.

The input is pixels 0 to 255; the program normalizes them. Core ML's image input has one scale and a
bias per channel, so standard deviations that differ between channels become a multiplication after
it. Core ML has no images of four channels and no batches of images: such a model takes an array of
normalized values.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.manifest import Preprocessing, TensorSpec
from lolvit_export.capture import INPUT_NAME
from lolvit_export.lowering.request import Lowered, LoweringRequest
from lolvit_export.rewrites import apply_all
from lolvit_export.rewrites.affine_grid_to_matmul import AffineGridToMatmul
from lolvit_export.rewrites.decompose_gelu_tanh import DecomposeGeluTanh
from lolvit_export.rewrites.diagonal_to_index_select import DiagonalToIndexSelect
from lolvit_export.rewrites.dilated_max_pool_to_slices import DilatedMaxPoolToSlices
from lolvit_export.rewrites.drop_batch_axis import DropBatchAxis
from lolvit_export.rewrites.explicit_pool_stride import ExplicitPoolStride
from lolvit_export.rewrites.flatten_reduction import FlattenReduction
from lolvit_export.rewrites.float_scatter_value import FloatScatterValue
from lolvit_export.rewrites.index_writes_to_index_select import IndexWritesToIndexSelect
from lolvit_export.rewrites.max_unpool_to_masks import MaxUnpoolToMasks
from lolvit_export.rewrites.negative_padding_to_slice import NegativePaddingToSlice
from lolvit_export.rewrites.prelu_to_relu import PreluToRelu
from lolvit_export.rewrites.prod_to_products import ProdToProducts
from lolvit_export.rewrites.unfold_to_reshape import UnfoldToReshape
from lolvit_runtimes.coreml_tools import coremltools as ct

Program = ct.converters.mil.mil.Program
# After the static rewrites; none needs anything of the others.
_REWRITES = (
    PreluToRelu(maps=False),  # Core ML has it on maps alone
    DecomposeGeluTanh(),  # coremltools reads no arguments by name
    FlattenReduction(),
    FloatScatterValue(),
    AffineGridToMatmul(),
    DiagonalToIndexSelect(),
    DilatedMaxPoolToSlices(),
    ExplicitPoolStride(),
    IndexWritesToIndexSelect(),
    MaxUnpoolToMasks(),
    NegativePaddingToSlice(),
    ProdToProducts(),
    UnfoldToReshape(),
    DropBatchAxis(),  # after the one before, which makes windows of maps
)
_COMPUTE = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}
_COLORS = {"RGB": ct.colorlayout.RGB, "L": ct.colorlayout.GRAYSCALE}


class _ScaledChannels(nn.Module):
    """Multiplies each channel by its own scale, after the image input's common one."""

    scale: Tensor

    def __init__(self, graph: nn.Module, scale: list[float]) -> None:
        super().__init__()
        self.rewritten = graph
        self.register_buffer("scale", torch.tensor(scale).reshape(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        outputs: Tensor | tuple[Tensor, ...] = self.rewritten(image * self.scale)
        return outputs


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-PRECISION.mlpackage`: an image H x W in, the graph's outputs out, floats in
    float32."""
    return convert(rewritten(graph), request)


def rewritten(graph: GraphModule) -> GraphModule:
    """Return the graph in operations that Core ML has."""
    return apply_all(_REWRITES, graph)[0]


def convert(graph: nn.Module, request: LoweringRequest) -> list[Lowered]:
    """Write the packages of a `rewritten` graph, or of a module around one."""
    shape = request.image.shape
    as_image = shape[0] == 1 and request.preprocessing.color in _COLORS
    module, given = (
        _image_input(graph, request.preprocessing, shape)
        if as_image
        else (graph, ct.TensorType(name=INPUT_NAME, shape=shape, dtype=np.float32))
    )
    image = request.image.model_copy(update={"meaning": "pixels"}) if as_image else request.image
    outputs = request.outputs_in_32_bits
    program = torch.export.export(module, (torch.rand(shape),)).run_decompositions({})
    written = []
    for precision in request.precisions:
        model, program = _converted(program, given, outputs, precision)
        model.save(str(request.path(precision)))
        written.append(request.lowered(precision, inputs=(image,), outputs=outputs))
    return written


def _converted(
    program: ExportedProgram,
    image: ct.ImageType | ct.TensorType,
    outputs: tuple[TensorSpec, ...],
    precision: str,
) -> tuple[ct.models.MLModel, ExportedProgram]:
    """Return the model, and the program that was converted: with its operations or, where
    coremltools fails with them, with those that they consist of.

    Raises:
        Exception: it fails with either; the error is the first one.
    """
    try:
        return _convert(program, image, outputs, precision), program
    except Exception:
        with suppress(Exception):
            simpler = program.run_decompositions()
            return _convert(simpler, image, outputs, precision), simpler
        raise


def _convert(
    program: ExportedProgram,
    image: ct.ImageType | ct.TensorType,
    outputs: tuple[TensorSpec, ...],
    precision: str,
) -> ct.models.MLModel:
    with checked_once():
        model = ct.convert(
            program,
            inputs=[image],
            outputs=[ct.TensorType(name=spec.name, dtype=np.dtype(spec.dtype)) for spec in outputs],
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS16,
            compute_precision=_COMPUTE[precision],
            skip_model_load=True,
        )
    model.short_description = "Labels and provenance are in manifest.json."
    return model


@contextmanager
def checked_once() -> Iterator[None]:
    """Have coremltools check the programs of this thread for consistency when the block ends,
    instead of after each of its hundred passes, a third of a conversion's time.

    Raises:
        Exception: a program is inconsistent; the same, of several types, that a pass raises.
    """
    validate, thread = Program.validate, threading.get_ident()
    programs: dict[int, Any] = {}

    def postponed(program: Any, check_essential_scope: bool = False) -> None:
        if threading.get_ident() == thread:
            programs[id(program)] = program
        else:
            validate(program, check_essential_scope)

    Program.validate = postponed
    try:
        yield
    finally:
        Program.validate = validate
    for program in programs.values():
        program.validate(check_essential_scope=True)


def _image_input(
    graph: nn.Module, preprocessing: Preprocessing, shape: tuple[int, ...]
) -> tuple[nn.Module, ct.ImageType]:
    """Return the module to convert and its image input, which together apply `preprocessing`'s
    normalization."""
    mean, std = preprocessing.mean, preprocessing.std
    uniform = len(set(std)) == 1
    scale = 1 / (255 * std[0]) if uniform else 1 / 255
    bias = [-m / std[0] if uniform else -m for m in mean]
    image = ct.ImageType(
        name=INPUT_NAME,
        shape=shape,
        scale=scale,
        bias=bias if len(bias) > 1 else bias[0],
        color_layout=_COLORS[preprocessing.color],
    )
    return (graph if uniform else _ScaledChannels(graph, [1 / s for s in std])), image
