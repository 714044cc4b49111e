"""Run a model in eval mode and leave every part in the mode that it was in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Put `model` into eval mode for the block.

    Afterwards each module is as it was: `model.train()` would wake layers that training keeps
    frozen, such as a BatchNorm whose statistics are not to move.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, training in modes:
            module.training = training
