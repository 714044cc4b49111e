"""Lower to a torch.export program: the rewritten graph as it is, for the reference runtimes."""

from __future__ import annotations

import io

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit.manifest import TensorSpec
from lolvit_export.capture import INPUT_NAME, output_classes, recapture
from lolvit_export.targets.lowering import Lowered, LoweringRequest

OUTPUT_NAME = "logits"


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-fp32.pt2`: float32 image (1, 3, H, W) in, float32 logits out.

    Only fp32: it is there to compare runtimes with eager PyTorch, which is in float32.
    """
    if "fp32" not in request.precisions:
        return []
    shape = (1, 3, *request.preprocess.size)
    image = TensorSpec(name=INPUT_NAME, shape=shape, layout="NCHW", values="normalized")
    logits = TensorSpec(
        name=OUTPUT_NAME, shape=(1, output_classes(graph)), layout="NC", values="logits"
    )
    path = request.folder / "model-fp32.pt2"
    written = io.BytesIO()
    torch.export.save(_bare(recapture(graph)), written)
    write_atomic(path, written.getvalue())
    return [Lowered(path, "fp32", image, logits)]


def _bare(program: ExportedProgram) -> ExportedProgram:
    """Drop what is not the model: the example image, which is saved as a pickle, and the lines of
    source, which name files of the machine that exported it."""
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
