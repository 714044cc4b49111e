"""Structural reparameterization of a copy of a model, for export."""

from __future__ import annotations

import copy

from timm.models import reparameterize_model
from torch import nn


def reparameterize(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in eval mode with equal outputs and its parallel branches merged.

    The copy is what timm's `reparameterize_model` makes of it: modules with a `fuse` or a
    `reparameterize` method, such as LOLViT's `RepDepthwise` or the blocks of MobileOne, RepViT and
    FastViT, are merged; all others are copied. A BatchNorm outside of such modules stays: export's
    rewrite `fold_batch_norm` folds it, for any model. The original is left untouched.
    """
    merged: nn.Module = reparameterize_model(copy.deepcopy(model).eval(), inplace=True)
    return merged.eval()  # for modules that were replaced
