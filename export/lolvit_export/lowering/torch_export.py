"""Lower to a torch.export program of the rewritten graph, for the PyTorch runtimes."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.files import write_atomic
from lolvit_export.capture import recapture
from lolvit_export.lowering.request import Lowered, LoweringRequest


def lower(graph: GraphModule, request: LoweringRequest) -> list[Lowered]:
    """Write `model-fp32.pt2`: float32 image (B, C, H, W) in, the graph's outputs out, in order."""
    (precision,) = request.precisions
    write_program(recapture(graph), request.path(precision))
    return [request.lowered(precision)]


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a program atomically, without anything that could execute code when it is loaded."""
    written = io.BytesIO()
    torch.export.save(_stripped(program), written)
    write_atomic(path, written.getvalue())


def _stripped(program: ExportedProgram) -> ExportedProgram:
    """Remove the example image, which is saved as a pickle, and stack traces, which have paths of
    the exporting machine."""
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
