"""Capture a model as a flat graph of ATen operations at one fixed input shape, batch 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from lolvit.errors import UserError
from lolvit.models.modes import evaluating
from lolvit_export.functional import functional
from lolvit_export.places import keep_places

INPUT_NAME = "image"
MODEL_PATH = "model"  # of the model in the module that is captured


class _NamedInput(nn.Module):
    """Give the input its published name, whatever the model's forward calls it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image)
        return logits


def capture(model: nn.Module, size: tuple[int, int], in_chans: int = 3) -> GraphModule:
    """Return `model`, in eval mode, as an ATen graph for images (1, in_chans, *size).

    The graph takes `image`, holds its weights as attributes and each node's shape in
    `meta["val"]`; the model itself is left as it was.

    Raises:
        UserError: the model cannot be traced at this size; the message carries torch's reason.
    """
    image = example_image(model, size, in_chans)
    try:
        with evaluating(model):
            program = torch.export.export(_NamedInput(model), (image,))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"cannot be captured at {size[0]}x{size[1]}: {reason}",
            where=type(model).__name__,
            remedy="try a larger size, or one that is a multiple of 32",
        ) from error
    return functional(program)


def example_image(model: nn.Module, size: tuple[int, int], in_chans: int = 3) -> Tensor:
    """Return a fixed image (1, in_chans, *size) in the model's own float type."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, in_chans, *size, generator=generator).to(dtype)


def recapture(module: GraphModule) -> ExportedProgram:
    """Return a rewritten graph as an ExportedProgram, which checks it once more; its nodes know the
    modules that they come from."""
    value = next(node for node in module.graph.nodes if node.op == "placeholder").meta["val"]
    image = torch.rand(tuple(value.shape)).to(value.dtype)
    program = torch.export.export(module, (image,))
    keep_places(module, program)
    return program


def output_classes(module: GraphModule) -> int:
    """Return the width of the logits (1, classes) that a captured graph gives."""
    output = next(node for node in module.graph.nodes if node.op == "output")
    (logits,) = output.all_input_nodes
    return int(logits.meta["val"].shape[1])
