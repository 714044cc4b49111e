"""Find where a model's numbers stop being finite, for a message that names the place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lolvit.errors import UserError
from lolvit.models.modes import eval_mode

_REMEDY = "give weights of a run that did not diverge"


def check_weights(model: nn.Module, where: str) -> None:
    """Check that every parameter and buffer is finite.

    Raises:
        UserError: one is not; the message names the first one.
    """
    for name, tensor in model.state_dict().items():
        wrong = int((~torch.isfinite(tensor)).sum()) if tensor.is_floating_point() else 0
        if wrong:
            raise UserError(
                f"not finite: {wrong} of the {tensor.numel()} values of '{name}', the first of its "
                "tensors with any",
                where=where,
                remedy=_REMEDY,
            )


def check_outputs(model: nn.Module, images: Tensor, outputs: object, where: str) -> None:
    """Check that the outputs that a model gave for `images` (B, C, H, W), a tensor or any
    structure of tensors, are finite.

    Raises:
        UserError: they are not; the message names the first tensor of the weights, or else the
            first layer, that is not finite.
    """
    if all(bool(torch.isfinite(each).all()) for each in tree_leaves(outputs)):
        return
    check_weights(model, where)
    with eval_mode(model), torch.no_grad(), _watched(model) as found:
        model(images)
    layer = f"from layer '{found[0]}' on" if found else "though those of its layers are"
    raise UserError(
        f"its outputs are not finite, {layer}; its weights are finite", where=where, remedy=_REMEDY
    )


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[str]]:
    """Collect, in order, the names of layers whose outputs are not finite while the block runs."""
    found: list[str] = []

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def look(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                found.append(name)

        return model.get_submodule(name).register_forward_hook(look)

    hooks = [watch(name) for name, module in model.named_modules() if name]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
