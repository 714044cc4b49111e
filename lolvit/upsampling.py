"""Logits on a coarse grid, upsampled to the input's pixels: bilinear, with half-pixel centres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Classes = npt.NDArray[np.uint8]
_ROUNDING = 1e-5  # of the largest magnitude: more than float32 loses in an interpolation


def upsample(logits: npt.NDArray[np.generic], size: tuple[int, int]) -> Floats:
    """Return logits (C, h, w) on `size` (H, W) pixels, float32 (C, H, W): bilinear, with half-pixel
    centres, as `torch.nn.functional.interpolate(align_corners=False)`."""
    rows = _along(np.ascontiguousarray(logits, np.float32), 1, size[0])
    return _along(rows, 2, size[1])


def upsampled_classes(logits: npt.NDArray[np.generic], size: tuple[int, int]) -> Classes:
    """Return `upsample(logits, size).argmax(0)`, uint8 (H, W), of at most 255 classes.

    Four neighbouring logits are the corners of a cell of pixels, whose values lie between theirs: a
    class that is below another one at all four is so in the whole cell. Most cells are left with
    one class, so that nothing need be interpolated, others with two or three. This is done where a
    logit stands for a power of two of pixels a side, as models' do.
    """
    values = np.ascontiguousarray(logits, np.float32)
    _, height, width = values.shape
    scale = size[0] // height
    if (height * scale, width * scale) != size or scale & (scale - 1):
        dense: Classes = upsample(values, size).argmax(0).astype(np.uint8)
        return dense
    corners = _corners(values)
    one, possible = _possible_classes(corners, _ROUNDING * max(values.max(), -values.min()))
    classes = np.empty((height + 1, scale, width + 1, scale), np.uint8)
    classes.reshape(height + 1, scale, -1)[:] = one.repeat(scale, 1)[:, np.newaxis]
    rows, columns = np.nonzero(possible.sum(0, dtype=np.uint8) > 1)
    if rows.size:
        found = _largest_inside(corners[:, :, rows, columns], possible[:, rows, columns], scale)
        classes[rows, :, columns] = found
    # The outer cells lie half outside.
    top = left = scale - scale // 2
    whole = classes.reshape((height + 1) * scale, (width + 1) * scale)
    return whole[top : top + size[0], left : left + size[1]]


def _corners(values: Floats) -> Floats:
    """Return the logits (4, C, h + 1, w + 1) at each cell's upper left, upper right, lower left and
    lower right corner. Beyond the outer logits their values hold."""
    rows, columns = (np.arange(-1, own + 1).clip(0, own - 1) for own in values.shape[1:])
    padded = values.take(rows, 1).take(columns, 2)
    upper, lower = padded[:, :-1], padded[:, 1:]
    return np.stack([part[..., x] for part in (upper, lower) for x in (slice(-1), slice(1, None))])


def _possible_classes(corners: Floats, margin: float) -> tuple[Classes, npt.NDArray[np.bool_]]:
    """Return a class of each cell (h, w), and which classes (C, h, w) can be the largest inside:
    that class, and those that it does not exceed by `margin` at all corners."""
    least = corners.min(0)
    # The last class with the largest minimum. `argmax` over the first axis is ten times as slow.
    index = np.arange(len(least), dtype=np.uint8)[:, np.newaxis, np.newaxis]
    one: Classes = (index * (least == least.max(0))).max(0)
    own = np.take_along_axis(corners, one[np.newaxis, np.newaxis].astype(np.int64), 1)
    return one, np.any(corners >= own - margin, axis=0)


def _largest_inside(corners: Floats, possible: npt.NDArray[np.bool_], scale: int) -> Classes:
    """Return the class (N, scale, scale) of each pixel of N cells, of those that are possible
    (C, N); `corners` are (4, C, N)."""
    number = possible.sum(0)
    order = np.argsort(-number, kind="stable")  # so that those with another class come first
    cell, index = np.nonzero(possible[:, order].T)
    place = np.arange(cell.size) - (number[order].cumsum() - number[order])[cell]
    upper_left, upper_right, lower_left, lower_right = corners[:, index, order[cell]]
    share = ((np.arange(scale) + scale // 2 + 0.5) / scale - 0.5).astype(np.float32)[:, np.newaxis]
    left = _between(upper_left, lower_left, share)  # (scale, cells and their classes)
    right = _between(upper_right, lower_right, share)
    largest = np.full((scale, scale, number.size), -np.inf, np.float32)
    classes = np.zeros(largest.shape, np.uint8)
    for turn in range(number.max()):
        now = np.nonzero(place == turn)[0]
        value = _between(left[:, np.newaxis, now], right[:, np.newaxis, now], share)
        before, old = largest[..., : now.size], classes[..., : now.size]
        # Classes ascend: the last one that was larger than those before has the highest number.
        np.maximum(old, (value > before) * index[now].astype(np.uint8), out=old)
        np.maximum(before, value, out=before)
    found = np.empty_like(classes)
    found[..., order] = classes
    return found.transpose(2, 0, 1)


def _along(values: Floats, axis: int, extent: int) -> Floats:
    """Interpolate linearly along one axis."""
    low, high, share = _neighbours(values.shape[axis], extent)
    shape = [1, 1, 1]
    shape[axis] = extent
    return _between(values.take(low, axis), values.take(high, axis), share.reshape(shape))


def _neighbours(own: int, extent: int) -> tuple[Integers, Integers, Floats]:
    """Return, for each of `extent` pixels, the two of `own` places that it lies between, and the
    share of the second."""
    places = np.clip((np.arange(extent) + 0.5) * (own / extent) - 0.5, 0, own - 1)
    low = np.floor(places).astype(np.int64)
    return low, np.minimum(low + 1, own - 1), (places - low).astype(np.float32)


def _between(first: Floats, second: Floats, share: Floats) -> Floats:
    result: Floats = first + (second - first) * share
    return result
