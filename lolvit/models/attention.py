"""Fast Window Attention (FWA), and its fusion with a local branch.

The paper's abstract (arXiv:2508.01385) speaks of attention "with adaptive feature map sizes" whose
few keys and values come "through window aggregation", of ReLU in place of SoftMax, and of a
global-local fusion. How exactly is our reading, written down here to be read; `lolvit_export`
rewrites it into the static form that devices run.
"""

from __future__ import annotations

import math

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.models.blocks import ConvNorm, GhostBottleneck, RepDepthwise, start_at_zero


def window_size(length: int) -> int:
    """Return the side of the windows on an axis of `length`: the whole number nearest to its root.

    A side n then has about sqrt(n) windows, so a map of N positions has about sqrt(N) keys
    whatever its size, and no reduction ratio is tuned.
    """
    return max(1, round(math.sqrt(length)))


def aggregate_windows(x: Tensor) -> Tensor:
    """Average each window into one token. (B, C, H, W) -> (B, C, ⌈H/wh⌉, ⌈W/ww⌉).

    The last window of an axis may be cut short by the border; it averages what is inside.
    """
    window = (window_size(x.shape[-2]), window_size(x.shape[-1]))
    return F.avg_pool2d(x, window, stride=window, ceil_mode=True, count_include_pad=False)


def relu_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with A = ReLU(q·kᵀ/√d), each row divided by its sum plus the number of keys.

    query (B, heads, N, d), key and value (B, heads, M, d) -> (B, heads, N, d). Unnormalised, the
    result would be cubic in the scale of the input and overflow; divided, the weights of a row add
    up to less than one, so an output is never larger than the largest value. The M in the divisor
    is as much as scores of one each: with a small constant instead, a row whose scores are all
    near zero divides rounding errors by almost nothing, and fp16 artifacts agree with eager to
    27 dB instead of 49 and more.

    Both sides of the division are divided by M², half of it on the query and half on the key: the
    same weights, and no score or sum comes near the largest or smallest number of half precision.
    """
    keys = key.shape[-2]
    query = query * (query.shape[-1] ** -0.5 / keys)  # (B, heads, N, d)
    key = key.transpose(-2, -1) * (1 / keys)  # (B, heads, d, M)
    weights = torch.relu(query @ key)  # (B, heads, N, M)
    weights = weights / (weights.sum(dim=-1, keepdim=True) + 1 / keys)  # (B, heads, N, M)
    return weights @ value  # (B, heads, N, d)


class FastWindowAttention(nn.Module):
    """Global attention of every position to the window averages of its own map.

    (B, in, H, W) -> (B, heads * head_dim, H, W), for any height and width.
    """

    def __init__(self, in_channels: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.query = ConvNorm(in_channels, heads * head_dim)
        self.key_value = ConvNorm(in_channels, 2 * heads * head_dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        heads, dim = self.heads, self.head_dim
        query = self.query(x).reshape(batch, heads, dim, -1)  # (B, heads, d, N)
        windows = self.key_value(aggregate_windows(x))  # (B, 2 * heads * d, h, w)
        key, value = windows.reshape(batch, 2, heads, dim, -1).unbind(1)  # 2 x (B, heads, d, M)
        tokens = relu_attention(
            query.transpose(-2, -1), key.transpose(-2, -1), value.transpose(-2, -1)
        )  # (B, heads, N, d)
        return tokens.transpose(-2, -1).reshape(batch, heads * dim, height, width)


class GlobalLocalFusion(nn.Module):
    """Join a depthwise (local) and an FWA (global) branch by a pointwise convolution, residual.

    (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, heads: int, head_dim: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.local = RepDepthwise(channels)
        self.attention = FastWindowAttention(channels, heads, head_dim)
        self.mix = ConvNorm(channels + heads * head_dim, channels)
        self.drop_path = DropPath(drop_path)
        start_at_zero(self.mix.norm)

    def forward(self, x: Tensor) -> Tensor:
        near = torch.relu(self.local(x))  # (B, C, H, W)
        far = self.attention(x)  # (B, heads * d, H, W)
        fused: Tensor = self.drop_path(self.mix(torch.cat([near, far], dim=1)))  # (B, C, H, W)
        return x + fused


class FusionBlock(nn.Sequential):
    """Token mixing by global-local fusion, then channel mixing by a Ghost bottleneck.

    (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(
        self, channels: int, expansion: float, heads: int, head_dim: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.add_module("fusion", GlobalLocalFusion(channels, heads, head_dim, drop_path))
        self.add_module("ghost", GhostBottleneck(channels, expansion, drop_path))
