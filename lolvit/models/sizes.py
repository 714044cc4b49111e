"""Whether a model takes images of a size: some of timm's need sides that are multiples of 64, or
large ones, and say so in the middle of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lolvit.errors import UserError


@contextmanager
def running_at(size: tuple[int, int], where: str) -> Iterator[None]:
    """Run a model on images of a size (height, width).

    Raises:
        UserError: it fails.
    """
    try:
        yield
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"does not run at {size[0]}x{size[1]}: {str(error).splitlines()[0]}",
            where=where,
            remedy="try a larger size, or one that is a multiple of 32 or 64",
        ) from error


def check_runs(model: nn.Module, size: tuple[int, int], channels: int, where: str) -> None:
    """Check that a model takes images of a size, with a grey one; its mode stays as it is.

    Raises:
        UserError: it does not.
    """
    training = model.training
    try:
        with running_at(size, where), torch.no_grad():
            model.eval()(torch.full((1, channels, *size), 0.5))
    finally:
        model.train(training)
