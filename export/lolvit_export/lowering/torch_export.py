"""Lower to a torch.export program: the rewritten graph as it is, for the reference runtimes."""

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
    """Write a program atomically, with nothing in it that could run as code."""
    written = io.BytesIO()
    torch.export.save(_bare(program), written)
    write_atomic(path, written.getvalue())


def _bare(program: ExportedProgram) -> ExportedProgram:
    """Drop what is not the model: the example image, which is saved as a pickle, and the lines of
    source, which name files of the machine that exported it."""
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
