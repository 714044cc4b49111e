"""Padding: as an operation of its own, and as convolution and pooling name it."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Ints, Operation, ints, unsupported

Pairs = list[tuple[int, int]]


def pairs_of(pad: Ints) -> Pairs:
    """Return (before, after) of each axis from MIL's flat list, in the order of the axes."""
    flat = ints(pad)
    return list(zip(flat[::2], flat[1::2], strict=True))


def resolve_padding(
    pad_type: str,
    pad: Ints,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pairs:
    """Return (before, after) of each spatial axis for a MIL `pad_type`.

    `same` gives ceil(extent / stride) outputs; where the padding is odd, the larger half comes
    after, with `same_lower` before.
    """
    if pad_type == "valid":
        return [(0, 0)] * len(kernel)
    if pad_type == "custom":
        return pairs_of(pad)
    if pad_type not in ("same", "same_lower"):
        raise unsupported("pad_type", pad_type)
    pairs = []
    for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        reach = (size - 1) * dilation + 1
        total = max(0, (-(-extent // stride) - 1) * stride + reach - extent)
        smaller, larger = total // 2, total - total // 2
        pairs.append((smaller, larger) if pad_type == "same" else (larger, smaller))
    return pairs


def pad_last_axes(x: Tensor, pairs: Pairs, mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last len(pairs) axes of `x`."""
    pairs = list(pairs)
    while mode != "constant" and pairs and pairs[0] == (0, 0):
        del pairs[0]  # torch reflects and replicates the innermost axes only
    flat = [extent for pair in reversed(pairs) for extent in pair]
    return F.pad(x, flat, mode, value) if mode == "constant" else F.pad(x, flat, mode)


def pad(x: Tensor, pad: Ints, mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """Pad the last len(pad) / 2 axes: `constant`, `reflect` or `replicate`."""
    return pad_last_axes(x, pairs_of(pad), mode, constant_val)


PADDING: dict[str, Operation] = {"pad": pad}
