"""A LOLViT as somebody else might have written it: the same mathematics, other operations.

Separate projections of query, key and value, linear ones in every other block; tokens last or heads
first by einsum, permutes and named transposes; the scale on the query, in a number or a tensor;
epsilon in an expanded tensor; a patchify of strided slices; windows that overhang in floor or
ceil mode; norms that are not folded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, DIM = 16, 2, 8


class Patchify(nn.Module):
    """Four strided slices, joined and mixed: (B, 3, H, W) -> (B, WIDTH, ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(12, WIDTH, 1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, width % 2, 0, height % 2))
        corners = [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]
        return F.silu(self.norm(self.mix(torch.cat(corners, 1))), inplace=True)


def windows_of(x: Tensor) -> Tensor:
    sides = [max(1, round(math.sqrt(side))) for side in x.shape[-2:]]
    return F.avg_pool2d(x, sides, ceil_mode=True)


class ConvAttention(nn.Module):
    """Three convolutions, each with its norm; a scale and an epsilon held in tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(WIDTH) for _ in range(3))
        self.register_buffer("scale", torch.tensor(DIM**-0.5, dtype=torch.float64))
        self.register_buffer("eps", torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64))

    def heads(self, x: Tensor, index: int) -> Tensor:
        project = (self.query, self.key, self.value)[index]
        y = self.norms[index](project(x))
        return y.unflatten(1, (HEADS, DIM)).flatten(3).swapaxes(-1, -2)  # (B, heads, N, d)

    def forward(self, x: Tensor) -> Tensor:
        windows = windows_of(x)
        query, key, value = self.heads(x, 0), self.heads(windows, 1), self.heads(windows, 2)
        weights = F.relu(self.scale * torch.einsum("bhnd,bhmd->bhnm", query, key))
        total = weights.sum(dim=-1, keepdim=True)
        weights = weights / (total + self.eps.expand_as(total))
        tokens = torch.einsum("bhnm,bhmd->bhnd", weights, value)
        return tokens.mT.contiguous().view(*x.shape)


class TokenAttention(nn.Module):
    """One linear layer of tokens for query, key and value; the scale on the query; selects."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens, windows = (y.flatten(2).movedim(1, -1) for y in (x, windows_of(x)))  # (B, N, C)
        query = self.query(tokens) / math.sqrt(DIM)
        query = query.reshape(1, -1, HEADS, DIM).permute(0, 2, 1, 3)  # (B, heads, N, d)
        pairs = self.key_value(windows).reshape(1, -1, 2, HEADS, DIM)
        pairs = pairs.permute(2, 0, 3, 1, 4)  # (2, B, heads, M, d)
        key, value = pairs[0], pairs[1]
        weights = (query @ key.transpose(-2, -1)).relu()
        weights = weights / (1e-3 + weights.sum(-1, True))
        return (weights @ value).permute(0, 1, 3, 2).reshape(x.shape)


class OtherLolvit(nn.Module):
    """(1, 3, H, W) -> (1, 5), in float64, with norms as after training."""

    def __init__(self) -> None:
        super().__init__()
        self.patchify = Patchify()
        self.attention = nn.ModuleList([ConvAttention(), TokenAttention()])
        self.local = nn.Conv2d(WIDTH, WIDTH, 3, padding="same", groups=WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(WIDTH, 5)
        self.double().eval()
        generator = torch.Generator().manual_seed(0)
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_(generator=generator)
                norm.running_var.uniform_(0.5, 2, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patchify(x)
        for attention in self.attention:
            x = x + attention(x)
            x += F.relu(self.norm(self.local(x)), inplace=True)
        return self.head(self.drop(F.adaptive_avg_pool2d(x, 1)).flatten(1))
