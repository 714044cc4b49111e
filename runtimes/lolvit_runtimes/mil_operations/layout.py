"""Moving, joining and cutting: no value is computed here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lolvit_runtimes.mil_operations.arguments import Ints, Operation, ints, tensor, unsupported


def reshape(x: Tensor, shape: Ints) -> Tensor:
    """Reshape; -1 is what is left over, 0 keeps that axis as it is."""
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(ints(shape))]
    return x.reshape(sizes)


def transpose(x: Tensor, perm: Ints) -> Tensor:
    return x.permute(ints(perm))


def expand_dims(x: Tensor, axes: Ints) -> Tensor:
    """Insert axes of extent 1 at these places of the result."""
    rank = x.dim() + len(ints(axes))
    for axis in sorted(axis % rank for axis in ints(axes)):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    """Remove axes of extent 1: these, or all of them."""
    return x.squeeze() if axes is None else x.squeeze(tuple(ints(axes)))


def concat(values: Sequence[Tensor], axis: int, interleave: bool = False) -> Tensor:
    if interleave:
        raise unsupported("interleave", interleave)
    return torch.cat(list(values), axis)


def stack(values: Sequence[Tensor], axis: int) -> Tensor:
    return torch.stack(list(values), axis)


def split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None
) -> Sequence[Tensor]:
    """Cut into `num_splits` equal parts, or parts of these sizes."""
    if split_sizes is not None:
        return _parts(x, ints(split_sizes), axis)
    if not num_splits or x.shape[axis] % num_splits:
        raise unsupported("num_splits", num_splits)
    return _parts(x, [x.shape[axis] // num_splits] * num_splits, axis)


def _parts(x: Tensor, sizes: list[int], axis: int) -> list[Tensor]:
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [x.narrow(axis, start, size) for start, size in zip(starts, sizes, strict=True)]


def slice_by_index(
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Ints | None = None,
    end_mask: Ints | None = None,
    squeeze_mask: Ints | None = None,
) -> Tensor:
    """x[begin:end:stride] on every axis; a mask drops its bound, or takes one index away."""
    rank = x.dim()
    steps = [1] * rank if stride is None else ints(stride)
    no_begin, no_end, single = (
        [0] * rank if mask is None else ints(mask) for mask in (begin_mask, end_mask, squeeze_mask)
    )
    for axis, (first, last) in enumerate(zip(ints(begin), ints(end), strict=True)):
        extent = x.shape[axis]
        if single[axis]:
            x = x.narrow(axis, 0 if no_begin[axis] else first % extent, 1)
            continue
        bounds = slice(
            None if no_begin[axis] else first, None if no_end[axis] else last, steps[axis]
        )
        x = _take(x, axis, range(*bounds.indices(extent)))
    return x.squeeze(tuple(axis for axis in range(rank) if single[axis]))


def _take(x: Tensor, axis: int, indices: range) -> Tensor:
    """Return these elements of an axis, as a view where they ascend."""
    if indices.step < 0:
        return x.index_select(axis, torch.tensor(list(indices), dtype=torch.int64))
    index = [slice(None)] * x.dim()
    index[axis] = slice(indices.start, max(indices.start, indices.stop), indices.step)
    return x[tuple(index)]


def crop(x: Tensor, crop_height: Ints, crop_width: Ints) -> Tensor:
    """Cut (before, after) off the last two axes."""
    for axis, edges in ((-2, ints(crop_height)), (-1, ints(crop_width))):
        x = x.narrow(axis, edges[0], x.shape[axis] - sum(edges))
    return x


def gather(
    x: Tensor,
    indices: Ints | int,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,
) -> Tensor:
    """Take `indices` of any shape along an axis; negative ones count from its end."""
    if batch_dims:
        raise unsupported("batch_dims", batch_dims)
    axis %= x.dim()
    wanted = _from_the_start(tensor(indices), x.shape[axis])
    shape = (*x.shape[:axis], *wanted.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, wanted.reshape(-1)).reshape(shape)


def tile(x: Tensor, reps: Ints) -> Tensor:
    return x.tile(ints(reps))


def reverse(x: Tensor, axes: Ints | None = None) -> Tensor:
    """Reverse the order along these axes, or along all."""
    return x.flip(tuple(range(x.dim())) if axes is None else tuple(ints(axes)))


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(n, C * r * r, H, W) to (n, C, H * r, W * r)."""
    return F.pixel_shuffle(x, int(upscale_factor))


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(n, C, H * r, W * r) to (n, C * r * r, H, W)."""
    return F.pixel_unshuffle(x, int(downscale_factor))


def gather_along_axis(
    x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False
) -> Tensor:
    """Take one element for each of `indices`, which have `x`'s shape but along the axis; negative
    ones count from its end."""
    return x.gather(axis, _from_the_start(indices, x.shape[axis]))


def _from_the_start(indices: Tensor, extent: int) -> Tensor:
    """Return integers of which negative ones counted from the end of an axis."""
    wanted = indices.to(torch.int64)
    return torch.where(wanted < 0, wanted + extent, wanted)


def gather_nd(
    x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool = False
) -> Tensor:
    """Take what the last axis of `indices` (..., K) names by its places in the first K axes."""
    if batch_dims:
        raise unsupported("batch_dims", batch_dims)
    return x[tuple(tensor(indices).to(torch.int64).unbind(-1))]


LAYOUT: dict[str, Operation] = {
    "reshape": reshape,
    "transpose": transpose,
    "expand_dims": expand_dims,
    "squeeze": squeeze,
    "concat": concat,
    "stack": stack,
    "split": split,
    "slice_by_index": slice_by_index,
    "crop": crop,
    "gather": gather,
    "tile": tile,
    "reverse": reverse,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "gather_along_axis": gather_along_axis,
    "gather_nd": gather_nd,
}
