"""Lower to a Core ML ML Program whose input is an image, as Vision and Core ML apps hand it over.

Pixels 0 to 255 go in; the normalisation is inside the program. Core ML's image input knows one
scale and a bias for each channel, so a standard deviation that differs between channels becomes
one multiplication behind it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.manifest import Preprocess, TensorSpec
from lolvit_export.capture import INPUT_NAME, output_classes
from lolvit_export.targets.lowering import Lowered, LoweringRequest
from lolvit_runtimes.coreml_tools import coremltools as ct

OUTPUT_NAME = "logits"
_COMPUTE = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}


class _ScaledChannels(nn.Module):
    """Multiply each channel by what the image input's single scale leaves undone."""

    scale: Tensor

    def __init__(self, graph: GraphModule, scale: list[float]) -> None:
        super().__init__()
        self.rewritten = graph
        self.register_buffer("scale", torch.tensor(scale).reshape(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.rewritten(image * self.scale)
        return logits


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-PRECISION.mlpackage`: RGB image H x W in, float32 logits out."""
    shape = (1, 3, *request.preprocess.size)
    module, image_type = _image_input(graph, request.preprocess, shape)
    program = torch.export.export(module, (torch.rand(shape),)).run_decompositions({})
    image = TensorSpec(name=INPUT_NAME, shape=shape, layout="NCHW", values="pixels")
    logits = TensorSpec(
        name=OUTPUT_NAME, shape=(1, output_classes(graph)), layout="NC", values="logits"
    )
    written = []
    for precision in request.precisions:
        path = request.folder / f"model-{precision}.mlpackage"
        _convert(program, image_type, precision).save(str(path))
        written.append(Lowered(path, precision, image, logits))
    return written


def _convert(program: ExportedProgram, image: ct.ImageType, precision: str) -> ct.models.MLModel:
    model = ct.convert(
        program,
        inputs=[image],
        outputs=[ct.TensorType(name=OUTPUT_NAME, dtype=np.float32)],
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=_COMPUTE[precision],
        skip_model_load=True,
    )
    model.short_description = "Logits of an RGB image; labels and provenance are in manifest.json."
    return model


def _image_input(
    graph: GraphModule, preprocess: Preprocess, shape: tuple[int, ...]
) -> tuple[nn.Module, ct.ImageType]:
    """Return the module to convert and its image input: together they are `preprocess`."""
    mean, std = preprocess.mean, preprocess.std
    uniform = len(set(std)) == 1
    scale = 1 / (255 * std[0]) if uniform else 1 / 255
    bias = [-m / std[0] if uniform else -m for m in mean]
    image = ct.ImageType(
        name=INPUT_NAME, shape=shape, scale=scale, bias=bias, color_layout=ct.colorlayout.RGB
    )
    return (graph if uniform else _ScaledChannels(graph, [1 / s for s in std])), image
