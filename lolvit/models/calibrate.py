"""Give an untrained model weights that are representative: of its latency, and for verification.

Random weights with BatchNorm's initial statistics drive activations into the denormal range, where
CPUs are tens of times slower, which makes any measured speedup wrong. And many networks begin with
residual branches that are zero or nearly so (`zero_init_last` in timm, LayerScale of 1e-6, the last
norms of SwinV2's blocks), or with a classifier of zeros. A converter may remove such a branch,
which would measure a smaller model, and an artifact that computes it wrongly has the right outputs.
Candidate and baseline are treated alike.
"""

from __future__ import annotations

from statistics import fmean
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from lolvit.denormals import MAX_DENORMAL_SHARE, denormal_share
from lolvit.errors import UserError
from lolvit.models.finite import check_outputs

# LayerScale begins at 1e-6 to 1e-4; BEiT's 0.1 is a share of the branch that errors show in.
_LARGEST_INEFFECTIVE = 0.05
_SEED = 0


def make_representative(model: nn.Module, photos: Tensor) -> nn.Module:
    """Give a model with random weights a share of each residual branch, and the BatchNorm
    statistics of `photos` (B, C, H, W), in place; return it in eval mode."""
    randomize_ineffective(model)
    return calibrate_batch_norm(model, photos)


def randomize_ineffective(model: nn.Module) -> nn.Module:
    """Set parameters that begin without effect at random, in place; BatchNorm's are left to
    `calibrate_batch_norm`.

    Scales, vectors of one value of at most 0.05 such as LayerScale's, become uniform from 0.5 to
    1.5; matrices of zeros, such as a classifier's, normal with a standard deviation of 0.02, which
    timm gives to others. Biases stay.
    """
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for module in model.modules():
            if _has_running_statistics(module):
                continue
            for name, parameter in module.named_parameters(recurse=False):
                if not _is_ineffective(parameter):
                    continue
                if not _is_vector(parameter):
                    nn.init.normal_(parameter, std=0.02, generator=generator)
                elif "bias" not in name:
                    nn.init.uniform_(parameter, 0.5, 1.5, generator=generator)
    return model


def _is_ineffective(parameter: nn.Parameter) -> bool:
    """Whether all elements of a parameter have one value: zero, or of a vector nearly so."""
    if not parameter.is_floating_point() or not parameter.numel():
        return False
    value = float(parameter.flatten()[0])
    largest = _LARGEST_INEFFECTIVE if _is_vector(parameter) else 0.0
    return abs(value) <= largest and bool((parameter == value).all())


def _is_vector(parameter: nn.Parameter) -> bool:
    """Whether at most one axis has more than one element."""
    return parameter.numel() == max(parameter.shape, default=1)


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
    Photos run one by one: some models take no more.

    Raises:
        UserError: more than 0.1 % of a layer's outputs are denormal, or the result is not finite
            (see `check_outputs`).
    """
    each = photos.unsqueeze(1)  # (B, 1, C, H, W)
    for photo in each:
        with torch.no_grad():
            tensors = [leaf for leaf in tree_leaves(model(photo)) if isinstance(leaf, Tensor)]
        check_outputs(model, photo, tensors, where)
    share = fmean(largest_denormal_share(model, photo) for photo in each)
    if share > MAX_DENORMAL_SHARE:
        raise UserError(
            f"outputs on photos: {share:.1%} of a layer's activations are denormal",
            where=where,
            remedy="check its weights and its normalization (mean, std)",
        )
