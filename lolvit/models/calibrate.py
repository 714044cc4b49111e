"""Calibrate BatchNorm of an untrained model on photos, so that its latency is representative.

Random weights with BatchNorm's initial statistics drive activations into the denormal range, where
CPUs are tens of times slower, which makes any measured speedup wrong. And some converters remove a
residual branch whose last BatchNorm has weight zero (`zero_init_last` in timm), which would measure
a smaller model. Candidate and baseline are treated alike.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from lolvit.denormals import MAX_DENORMAL_SHARE, denormal_share
from lolvit.errors import UserError
from lolvit.models.finite import check_outputs


def calibrate_batch_norm(model: nn.Module, photos: Tensor) -> nn.Module:
    """Set every BatchNorm's running statistics to those of `photos` (B, 3, H, W), in place.

    BatchNorm weights that are all zero are set to one, so that no residual branch is zero. Returns
    `model` in eval mode.
    """
    model.eval()  # nothing random, such as dropout or stochastic depth, takes part
    norms = [module for module in model.modules() if _has_running_statistics(module)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
        norm.training = True
        if norm.affine and not bool(norm.weight.any()):
            nn.init.ones_(norm.weight)
    try:
        with torch.no_grad():
            model(photos)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()
    return model


def _has_running_statistics(module: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(module, _BatchNorm) and module.track_running_stats


def largest_denormal_share(model: nn.Module, photos: Tensor) -> float:
    """Return the largest share, over all modules, of denormal values in a module's float output
    for `photos` (B, C, H, W)."""
    worst = 0.0

    def measure(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal worst
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            worst = max(worst, denormal_share(output.detach().numpy()))

    hooks = [module.register_forward_hook(measure) for module in model.modules()]
    try:
        with torch.no_grad():
            model(photos)
    finally:
        for hook in hooks:
            hook.remove()
    return worst


def check_denormals(model: nn.Module, photos: Tensor, where: str) -> None:
    """Check that activations are normal floats and outputs finite, or else latency is meaningless.

    Raises:
        UserError: more than 0.1 % of a layer's outputs are denormal, or the result is not finite
            (see `check_outputs`).
    """
    with torch.no_grad():
        tensors = [leaf for leaf in tree_leaves(model(photos)) if isinstance(leaf, Tensor)]
    check_outputs(model, photos, tensors, where)
    share = largest_denormal_share(model, photos)
    if share > MAX_DENORMAL_SHARE:
        raise UserError(
            f"outputs on photos: {share:.1%} of a layer's activations are denormal",
            where=where,
            remedy="check its weights and its normalization (mean, std)",
        )
