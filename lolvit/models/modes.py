"""Run a model in eval mode, and restore the mode of every module afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Put `model` into eval mode for the block.

    Afterwards each module has its previous mode: `model.train()` would unfreeze layers that
    training keeps in eval mode, such as a BatchNorm with fixed statistics.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        for module, training in modes:
            module.training = training
