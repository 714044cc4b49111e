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
    """Join tensors one behind the other; or interleaved, the first element of each first."""
    if interleave:
        axis %= values[0].dim()
        return torch.stack(list(values), axis + 1).flatten(axis, axis + 1)
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
    indices: Tensor,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,
) -> Tensor:
    """Take `indices` of any shape along an axis; negative ones count from its end."""
    if batch_dims:
        raise unsupported("batch_dims", batch_dims)
    axis %= x.dim()
    wanted = _from_the_start(indices, x.shape[axis])
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
    return x[_places(indices)]


def _places(indices: Tensor) -> tuple[Tensor, ...]:
    """Return the index of each of the first axes; torch counts negative ones from the end."""
    return tuple(indices.to(torch.int64).unbind(-1))


def slice_by_size(x: Tensor, begin: Ints, size: Ints) -> Tensor:
    """Take `size` elements from `begin` on of every axis; -1 takes all that follow."""
    for axis, (first, count) in enumerate(zip(ints(begin), ints(size), strict=True)):
        first %= x.shape[axis]
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    """(n, C, H * r, W * r) to (n, r * r * C, H, W), the places of a block before the channels."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // block_size, block_size, w // block_size, block_size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // block_size, w // block_size)


def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """The inverse of `space_to_depth`."""
    n, _, h, w = x.shape
    blocks = x.reshape(n, block_size, block_size, -1, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, -1, h * block_size, w * block_size)


def fill_like(ref_tensor: Tensor, value: float = 0.0) -> Tensor:
    """Fill a tensor of this shape; it has the value's type: bool, int32 or float32."""
    dtype = {bool: torch.bool, int: torch.int32}.get(type(value), torch.float32)
    return torch.full(ref_tensor.shape, value, dtype=dtype)


def one_hot(
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: float = 1,
    off_value: float = 0,
) -> Tensor:
    """Add an axis on which the place that an index names has `on_value`."""
    hot = F.one_hot(_from_the_start(indices, one_hot_vector_size), one_hot_vector_size).bool()
    values = torch.where(hot, tensor(on_value), tensor(off_value))
    return values.movedim(-1, axis)


def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    """Keep so many diagonals below and above the main one of the last two axes; -1 keeps all."""
    above = x if lower < 0 else x.triu(-lower)
    return above if upper < 0 else above.tril(upper)


_INTO = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}  # MIL's names, and torch's


def scatter_along_axis(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Write each of `updates` to the place along the axis that `indices`, of its shape, names."""
    places = _from_the_start(indices, data.shape[axis])
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode not in _INTO:
        raise unsupported("mode", mode)
    return data.scatter_reduce(axis, places, updates, _INTO[mode])


def scatter(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Write each slice of `updates` to the place along the axis that `indices` (C,) names."""
    column = indices.reshape(-1, *[1] * (data.dim() - 1 - axis % data.dim()))
    return scatter_along_axis(data, column.expand(updates.shape), updates, axis, mode)


def scatter_nd(
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Write each of `updates` to where the last axis of `indices` (..., K) names its places in the
    first K axes."""
    if mode not in ("add", "update"):
        raise unsupported("mode", mode)
    return data.index_put(_places(indices), updates, accumulate=mode == "add")


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
    "slice_by_size": slice_by_size,
    "space_to_depth": space_to_depth,
    "depth_to_space": depth_to_space,
    "fill_like": fill_like,
    "one_hot": one_hot,
    "band_part": band_part,
    "scatter_along_axis": scatter_along_axis,
    "scatter": scatter,
    "scatter_nd": scatter_nd,
}
