"""Average and maximum pooling, resizing and sampling."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Ints, Operation, ints, unsupported
from lolvit_runtimes.mil_operations.padding import Pairs, pad_last_axes, resolve_padding

_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
# torch's names of what lies beyond the border
_PADDINGS = {"constant": "zeros", "border": "border", "reflection": "reflection"}


def avg_pool(
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints = (),
    pad_type: str = "valid",
    pad: Ints = (),
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    """Average windows of `x` (n, C, *D); `ceil_mode` keeps the last, partial window.

    A partial window's divisor is torch's: the positions inside the padded extent.
    """
    kernel, stride, pairs = _window(x, kernel_sizes, strides, pad_type, pad)
    pool = _AVG_POOL[len(kernel)]
    include = not exclude_padding_from_average
    if _torch_pads(pairs, kernel):
        padding = [before for before, _ in pairs]
        pooled: Tensor = pool(x, kernel, stride, padding, ceil_mode, include)
        return pooled
    sums: Tensor = pool(pad_last_axes(x, pairs), kernel, stride, 0, ceil_mode)
    if include:
        return sums
    ones = pad_last_axes(torch.ones_like(x), pairs)
    return sums / pool(ones, kernel, stride, 0, ceil_mode)


def max_pool(
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints = (),
    pad_type: str = "valid",
    pad: Ints = (),
    ceil_mode: bool = False,
) -> Tensor:
    """Take the maximum of windows of `x` (n, C, *D); padding never wins."""
    kernel, stride, pairs = _window(x, kernel_sizes, strides, pad_type, pad)
    padding = [before for before, _ in pairs]
    if not _torch_pads(pairs, kernel):
        x, padding = pad_last_axes(x, pairs, value=-math.inf), [0] * len(kernel)
    pooled: Tensor = _MAX_POOL[len(kernel)](x, kernel, stride, padding, 1, ceil_mode)
    return pooled


def _window(
    x: Tensor, kernel_sizes: Ints, strides: Ints, pad_type: str, pad: Ints
) -> tuple[list[int], list[int], Pairs]:
    kernel = ints(kernel_sizes)
    stride = ints(strides) or [1] * len(kernel)
    extents = x.shape[2:]
    return (
        kernel,
        stride,
        resolve_padding(pad_type, pad, extents, kernel, stride, [1] * len(kernel)),
    )


def _torch_pads(pairs: Pairs, kernel: list[int]) -> bool:
    """Say whether torch's pooling can pad so itself: both sides alike, at most half the window."""
    return all(
        before == after and 2 * before <= size
        for (before, after), size in zip(pairs, kernel, strict=True)
    )


def upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    """Interpolate the last two axes; the grid follows from the output's size, not the factor."""
    if half_pixel_centers is not None and half_pixel_centers == align_corners:
        raise unsupported("half_pixel_centers", half_pixel_centers)
    size = _scaled(x, scale_factor_height, scale_factor_width)
    return _interpolate(x, size, mode="bilinear", align_corners=align_corners)


def upsample_nearest_neighbor(
    x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Tensor:
    """Repeat elements of the last two axes."""
    return _interpolate(x, _scaled(x, scale_factor_height, scale_factor_width), mode="nearest")


def _scaled(x: Tensor, height: float, width: float) -> list[int]:
    """Return the output's height and width, multiplied in float32 as the format's types are."""
    factors = np.float32(height), np.float32(width)
    return [math.floor(factor * n) for factor, n in zip(factors, x.shape[-2:], strict=True)]


def _interpolate(x: Tensor, size: list[int], **options: bool | str) -> Tensor:
    flat = x.reshape(1, -1, *x.shape[-2:])
    return F.interpolate(flat, size, **options).reshape(*x.shape[:-2], *size)  # type: ignore[arg-type]


def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """Take the values at `coordinates` (B, H, W, 2), x before y, from -1 to 1."""
    if coordinates_mode != "normalized_minus_one_to_one":
        raise unsupported("coordinates_mode", coordinates_mode)
    if padding_mode not in _PADDINGS or padding_value != 0:
        raise unsupported("padding_mode", f"{padding_mode} {padding_value}")
    return F.grid_sample(
        x, coordinates, sampling_mode, _PADDINGS[padding_mode], align_corners=align_corners
    )


POOLING: dict[str, Operation] = {
    "avg_pool": avg_pool,
    "max_pool": max_pool,
    "upsample_bilinear": upsample_bilinear,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
    "resample": resample,
}
