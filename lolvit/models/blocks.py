"""Convolution with BatchNorm, and GhostNet's module and bottleneck.

Ghost modules: Han et al., GhostNet, arXiv:1911.11907. Half of the output channels come from a
pointwise convolution, the other half from a cheap depthwise one on top of them.
"""

from __future__ import annotations

import torch
from timm.layers import DropPath
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution, BatchNorm and, if asked, ReLU. (B, in, H, W) -> (B, out, H/stride, W/stride).

    Not a Sequential: timm's feature extraction would take it apart, and `lolvit.reparam` miss it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        act: bool = False,
    ) -> None:
        if padding is None:
            padding = kernel_size // 2
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.norm(self.conv(x)))
        return result


class Stem(nn.Module):
    """Patches of 2 x 2, then a depthwise separable convolution of stride 2.

    (B, in, H, W) -> (B, out, ⌈⌊H/2⌋/2⌉, ⌈⌊W/2⌋/2⌉). Two steps, because fine textures need a
    nonlinearity before the second halving: patches of 4 x 4 are less accurate, and no faster. The
    first step has no padding, so that a photo's pixels can be given as they are, normalized by its
    weights.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 16) -> None:
        super().__init__()
        self.patches = ConvNorm(in_channels, width, 2, 2, 0, act=True)
        self.spatial = ConvNorm(width, width, 3, 2, groups=width, act=True)
        self.channel = ConvNorm(width, out_channels, act=True)

    def forward(self, x: Tensor) -> Tensor:
        halves = self.patches(x)  # (B, width, H/2, W/2)
        result: Tensor = self.channel(self.spatial(halves))
        return result


class RepDepthwise(nn.Module):
    """Depthwise convolution trained as two branches, k x k and 1 x 1; `lolvit.reparam` merges them.

    (B, C, H, W) -> (B, C, H, W). Structural reparameterisation: Ding et al., arXiv:2101.03697.
    """

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.wide = ConvNorm(channels, channels, kernel_size, groups=channels)
        self.point = ConvNorm(channels, channels, 1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        wide: Tensor = self.wide(x)
        point: Tensor = self.point(x)
        return wide + point


class GhostModule(nn.Module):
    """(B, in, H, W) -> (B, out, H, W): a pointwise half and its depthwise ghosts; `out` is even."""

    def __init__(self, in_channels: int, out_channels: int, act: bool = True) -> None:
        super().__init__()
        half = out_channels // 2
        self.primary = ConvNorm(in_channels, half, 1, act=act)
        self.cheap = ConvNorm(half, half, 3, groups=half, act=act)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary(x)  # (B, out/2, H, W)
        ghosts = self.cheap(primary)  # (B, out/2, H, W)
        return torch.cat([primary, ghosts], dim=1)  # (B, out, H, W)


class GhostBottleneck(nn.Module):
    """Two Ghost modules, wide then narrow, with a residual. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, expansion: float, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = make_divisible(channels * expansion)
        self.expand = GhostModule(channels, hidden, act=True)
        self.project = GhostModule(hidden, channels, act=False)
        self.drop_path = DropPath(drop_path)
        start_at_zero(self.project.primary.norm, self.project.cheap.norm)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.expand(x)  # (B, C * expansion, H, W)
        residual: Tensor = self.drop_path(self.project(hidden))  # (B, C, H, W)
        return x + residual


class Downsample(nn.Sequential):
    """Halve height and width, odd sizes rounded up, then widen.

    (B, in, H, W) -> (B, out, ⌈H/2⌉, ⌈W/2⌉).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.add_module("spatial", ConvNorm(in_channels, in_channels, 3, 2, groups=in_channels))
        self.add_module("channel", ConvNorm(in_channels, out_channels, 1))


def start_at_zero(*norms: nn.BatchNorm2d) -> None:
    """Let a residual branch begin as nothing, as timm's MobileViT does: its last BatchNorms weigh
    zero (Goyal et al., arXiv:1706.02677)."""
    for norm in norms:
        nn.init.zeros_(norm.weight)


def make_divisible(width: float, divisor: int = 32) -> int:
    """Round a width so that Ghost halves stay multiples of 16, the block of vectorised kernels."""
    return max(divisor, int(width / divisor + 0.5) * divisor)
