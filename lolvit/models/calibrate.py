"""Make a model without trained weights fit to be compared: calibrate its BatchNorm on photos.

Random weights with BatchNorm's initial statistics drive activations into the denormal range, where
processors are tens of times slower, and any "speedup" over that is false. And a residual branch
whose last BatchNorm starts at weight zero (timm's MobileViT) is removed by some converters, which
would time a smaller model. Both sides of a comparison are treated alike.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from lolvit.errors import UserError

# The largest share of denormal activations that leaves latency alone.
MAX_DENORMAL_SHARE = 1e-3


def calibrate_batch_norm(model: nn.Module, photos: Tensor) -> nn.Module:
    """Set every BatchNorm's running statistics to those of `photos` (B, 3, H, W), in place.

    BatchNorm weights that are all zero are set to one, so that no branch is dead. Returns `model`
    in eval mode.
    """
    model.eval()  # nothing random, such as dropout or stochastic depth, takes part
    norms = [module for module in model.modules() if _has_running_statistics(module)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over all that is seen
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


def denormal_share(model: nn.Module, photos: Tensor) -> float:
    """Return the largest share of denormal values in any module's float output for `photos`."""
    worst = 0.0

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal worst
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            tiny = torch.finfo(output.dtype).tiny
            denormal = (output != 0) & (output.abs() < tiny)
            worst = max(worst, float(denormal.float().mean()))

    hooks = [module.register_forward_hook(look) for module in model.modules()]
    try:
        with torch.no_grad():
            model(photos)
    finally:
        for hook in hooks:
            hook.remove()
    return worst


def refuse_denormals(model: nn.Module, photos: Tensor, where: str) -> None:
    """Raise where activations are denormal or not finite: no timing of such a model means anything.

    Raises:
        UserError: more than 0.1 % of a layer's outputs are denormal, or the result is not finite.
    """
    with torch.no_grad():
        tensors = [leaf for leaf in tree_leaves(model(photos)) if isinstance(leaf, Tensor)]
        finite = all(bool(torch.isfinite(each).all()) for each in tensors)
    share = denormal_share(model, photos)
    if not finite or share > MAX_DENORMAL_SHARE:
        what = f"{share:.1%} of a layer's activations are denormal" if finite else "not finite"
        raise UserError(
            f"outputs on photos: {what}",
            where=where,
            remedy="check its weights and its normalization (mean, std)",
        )
