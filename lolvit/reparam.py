"""Fold what only training needs: parallel branches and BatchNorm, into a deployable copy.

Structural reparameterisation (Ding et al., arXiv:2101.03697): a k x k and a 1 x 1 depthwise branch,
each with its BatchNorm, are one k x k convolution whose kernel is the sum of both.
"""

from __future__ import annotations

import copy

from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lolvit.models.blocks import ConvNorm, RepDepthwise


def reparameterize(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in eval mode with equal outputs, for any device to run.

    Blocks of LOLViT are folded here; modules that bring timm's own `fuse` or `reparameterize`
    (MobileOne, RepViT, FastViT …) are folded by timm. The original is left untouched.
    """
    from timm.utils.model import reparameterize_model  # imports most of timm

    result = _folded(copy.deepcopy(model).eval())
    folded: nn.Module = reparameterize_model(result, inplace=True)
    return folded.eval()


def _folded(module: nn.Module) -> nn.Module:
    """Return `module` with every block of LOLViT in it folded, or its folded form if it is one."""
    if isinstance(module, RepDepthwise):
        return fold_depthwise(module)
    if isinstance(module, ConvNorm):
        return fold_conv_norm(module)
    for name, child in module.named_children():
        setattr(module, name, _folded(child))
    return module


def fold_conv_norm(block: ConvNorm) -> nn.Sequential | nn.Conv2d:
    """Return the block's convolution with its BatchNorm folded in, and its ReLU if it has one."""
    folded = fuse_conv_bn_eval(block.conv, block.norm)
    return folded if isinstance(block.act, nn.Identity) else nn.Sequential(folded, block.act)


def fold_depthwise(block: RepDepthwise) -> nn.Conv2d:
    """Return one depthwise convolution equal to the sum of the block's two branches."""
    wide, point = fold_conv_norm(block.wide), fold_conv_norm(block.point)
    assert isinstance(wide, nn.Conv2d) and isinstance(point, nn.Conv2d)
    assert wide.bias is not None and point.bias is not None
    border = wide.kernel_size[0] // 2
    wide.weight.data += F.pad(point.weight.data, (border, border, border, border))
    wide.bias.data += point.bias.data
    return wide
