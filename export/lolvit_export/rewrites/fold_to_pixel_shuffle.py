"""Write a fold, the sum of patches at their places, as pixel shuffles.

    x (B, C·h·w, R·S) ── fold (H, W) of patches (h, w), stride s, padding p
becomes, for n = ceil(h / s) and m = ceil(w / s),
    x ── reshape (B·C, h, w, R·S) ── pad to (n·s, m·s)
      ── n·m slices of (s, s), each: reshape (B, C·s·s, R, S) ── pixel_shuffle (s) ── pad
      ── their sum ── crop p, and pad or crop to (H, W).

Row i of a patch is row i mod s of slice i div s. Within a slice patches neither overlap nor leave
gaps: a pixel shuffle puts them at their places, and slice (q, r) is moved by (q·s, r·s).

For converters that add to a tensor of zeros: LiteRT does not open what litert-torch makes of that
(MobileViTv2 of transformers), and coremltools takes no patches that overlap (VOLO).
"""

from __future__ import annotations

from itertools import product
from typing import Any

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class FoldToPixelShuffle(Rewrite):
    """Requires static shapes."""

    name = "fold_to_pixel_shuffle"
    ensures = "no fold without dilation and with one stride"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.col2im.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        _, _, _, dilation, _, stride = _arguments(node)
        if dilation != (1, 1):
            return MatchFailure("its patches are dilated")
        return None if stride[0] == stride[1] else MatchFailure("it has two strides")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        source, size, kernel, _, padding, (stride, _) = _arguments(node)
        counts = [-(-side // stride) for side in kernel]
        extents = [
            (whole + 2 * margin - side) // stride + 1
            for whole, side, margin in zip(size, kernel, padding, strict=True)
        ]
        *batch, channels = shape_of(node)[:-2]
        rows = (batch[0] if batch else 1) * channels
        patches = call(
            graph, aten.reshape.default, source, [rows, *kernel, extents[0] * extents[1]]
        )
        more = [count * stride - side for count, side in zip(counts, kernel, strict=True)]
        patches = _padded(graph, patches, [0, 0, 0, more[1], 0, more[0]])
        total = None
        for place in product(*map(range, counts)):
            moved = _slice_at(graph, patches, place, stride, [rows // channels, channels, *extents])
            (above, left), (below, right) = (
                [stride * each for each in steps]
                for steps in (place, [c - 1 - p for c, p in zip(counts, place, strict=True)])
            )
            moved = _padded(graph, moved, [left, right, above, below])
            total = moved if total is None else call(graph, aten.add.Tensor, total, moved)
        assert total is not None
        total = _fitted(graph, total, padding, size)
        if not batch:
            total = call(graph, aten.reshape.default, total, list(shape_of(node)))
        node.replace_all_uses_with(total)


def _arguments(node: Node) -> tuple[Any, ...]:
    """Return the patches, and size, kernel, dilation, padding and stride, each for both axes."""
    return node.args[0], *(pair(value) for value in node.args[1:])  # type: ignore[arg-type]


def _slice_at(
    graph: Graph, patches: Node, place: tuple[int, ...], stride: int, shape: list[int]
) -> Node:
    """Return the map (B, C, R·s, S·s) of the slice (q, r) of patches (B·C, n·s, m·s, R·S)."""
    part = patches
    for axis, step in enumerate(place, 1):
        part = call(graph, aten.slice.Tensor, part, axis, step * stride, (step + 1) * stride)
    batch, channels, *extents = shape
    part = call(graph, aten.reshape.default, part, [batch, channels * stride * stride, *extents])
    return call(graph, aten.pixel_shuffle.default, part, stride) if stride > 1 else part


def _fitted(graph: Graph, node: Node, padding: tuple[int, int], size: tuple[int, int]) -> Node:
    """Return a map without its padding, and with zeros where no patch reaches."""
    for axis, (start, length) in enumerate(zip(padding, size, strict=True), 2):
        end = min(start + length, shape_of(node)[axis])
        node = call(graph, aten.slice.Tensor, node, axis, start, end)
        missing = length - (end - start)
        node = _padded(graph, node, [0, 0, 0, missing] if axis == 2 else [0, missing])
    return node


def _padded(graph: Graph, node: Node, amounts: list[int]) -> Node:
    return call(graph, aten.constant_pad_nd.default, node, amounts) if any(amounts) else node
