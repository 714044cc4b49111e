"""Boxes in numpy: decoding, intersection over union, suppression, matching of two sets.

A box is left, top, right, bottom, in pixels. All arithmetic is in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def points_of(
    size: tuple[int, int], strides: Sequence[int]
) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Return the centres (N, 2), as x and y in pixels, of the cells of each stride's map of an
    image of `size` (height, width), row by row, and each one's stride (N,)."""
    centres, widths = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in size)
        y, x = np.mgrid[:rows, :columns]
        centres.append(np.stack([x.ravel(), y.ravel()], 1) * stride + stride / 2)
        widths.append(np.full(rows * columns, float(stride)))
    return np.concatenate(centres).astype(np.float64), np.concatenate(widths)


def decode(distances: npt.ArrayLike, centres: Floats, strides: Floats) -> Floats:
    """Return the boxes (N, 4) of distances (N, 4), to the left, top, right and bottom of `centres`
    in units of the stride. Negative distances count as 0."""
    lengths = np.maximum(np.asarray(distances, np.float64), 0) * strides[:, np.newaxis]
    return np.concatenate([centres - lengths[:, :2], centres + lengths[:, 2:]], 1)


def iou(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of each of (A, 4) with each of (B, 4) boxes: (A, B).
    It is 0 where the union is empty."""
    corner = np.maximum(first[:, np.newaxis, :2], second[np.newaxis, :, :2])
    other = np.minimum(first[:, np.newaxis, 2:], second[np.newaxis, :, 2:])
    shared = np.prod(np.maximum(other - corner, 0), 2)  # (A, B)
    union = _areas(first)[:, np.newaxis] + _areas(second)[np.newaxis] - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def _areas(boxes: Floats) -> Floats:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas: Floats = sides[:, 0] * sides[:, 1]
    return areas


def suppress(boxes: Floats, classes: Indices, threshold: float, limit: int) -> Indices:
    """Return the indices of the boxes (N, 4) that non-maximum suppression keeps, at most `limit`.

    The boxes are in order of their score, highest first. One is dropped if its intersection over
    union with a kept one of its class is above `threshold`.
    """
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < limit:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        overlaps = iou(boxes[best : best + 1], boxes[rest])[0]
        left = rest[(overlaps <= threshold) | (classes[rest] != classes[best])]
    return np.array(kept, np.int64)


def match(
    first: Floats, first_classes: Indices, second: Floats, second_classes: Indices, least: float
) -> list[tuple[int, int]]:
    """Return pairs of indices that match two sets of boxes one to one: same class, intersection
    over union of at least `least`, the largest first."""
    if not len(first) or not len(second):
        return []
    overlaps = iou(first, second) * (first_classes[:, np.newaxis] == second_classes)
    rows, columns = np.nonzero(overlaps >= least)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in used_rows and column not in used_columns:
            pairs.append((row, column))
            used_rows.add(row)
            used_columns.add(column)
    return pairs
