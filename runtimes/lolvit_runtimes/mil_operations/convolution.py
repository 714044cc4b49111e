"""Convolution, its transpose, and matrix products.

All accumulate in float32, in float16 programs too, where hardware may not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Ints, Operation, ints, unsupported
from lolvit_runtimes.mil_operations.padding import pad_last_axes, resolve_padding

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Ints = (),
    pad_type: str = "valid",
    pad: Ints = (),
    dilations: Ints = (),
    groups: int = 1,
) -> Tensor:
    """Convolve `x` (n, C_in, *D) with `weight` (C_out, C_in / groups, *K)."""
    axes = x.dim() - 2
    stride, dilation = ints(strides) or [1] * axes, ints(dilations) or [1] * axes
    pairs = resolve_padding(pad_type, pad, x.shape[2:], weight.shape[2:], stride, dilation)
    symmetric = all(before == after for before, after in pairs)
    if not symmetric:
        x, pairs = pad_last_axes(x, pairs), [(0, 0)] * axes
    padding = [before for before, _ in pairs]
    result: Tensor = _CONV[axes](x, weight, bias, stride, padding, dilation, groups)
    return result


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Ints = (),
    output_shape: Ints = (),
    pad_type: str = "valid",
    strides: Ints = (),
    dilations: Ints = (),
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of `x` (n, C_in, *D) with `weight` (C_in, C_out / groups, *K).

    The whole result is computed and `pad` cut off its edges. An `output_shape` of another size
    shows when the program's stated shape is compared.
    """
    if pad_type not in ("valid", "custom"):
        raise unsupported("pad_type", pad_type)
    axes = x.dim() - 2
    stride, dilation = ints(strides) or [1] * axes, ints(dilations) or [1] * axes
    whole = _CONV_TRANSPOSE[axes](x, weight, bias, stride, 0, 0, groups, dilation)
    edges = resolve_padding(pad_type, pad, [], [0] * axes, [], [])
    for axis, (before, after) in enumerate(edges, start=2):
        whole = whole.narrow(axis, before, whole.shape[axis] - before - after)
    result: Tensor = whole
    return result


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (*, D_in) times the transpose of `weight` (D_out, D_in), plus `bias` (D_out,)."""
    return F.linear(x, weight, bias)


def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """Batched matrix product over the last two axes, either side transposed first if asked."""
    left = x.transpose(-1, -2) if transpose_x else x
    right = y.transpose(-1, -2) if transpose_y else y
    return left @ right


def einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    return torch.einsum(equation, *values)


CONVOLUTION: dict[str, Operation] = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "linear": linear,
    "matmul": matmul,
    "einsum": einsum,
}
