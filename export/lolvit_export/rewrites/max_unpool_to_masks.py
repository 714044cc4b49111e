"""Write a maximum unpool as products with masks of where the maxima were.

    m, places = max_pool2d(x, k)    y = max_unpool2d(v, places)
becomes
    y = pixel_shuffle of where(x at place i of each window is the first to equal m, v, 0)

For windows that do not overlap, the k·k places of a window are x's slices with stride k. Of equal
values the first is the maximum, as PyTorch takes it.

For litert-torch and coremltools, which do not know the operation (SegNet's decoder).
"""

from __future__ import annotations

import operator

import torch
from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class MaxUnpoolToMasks(Rewrite):
    """Requires static shapes, and the places of a pool of square windows that do not overlap, to
    the size of what was pooled."""

    name = "max_unpool_to_masks"
    ensures = "no maximum unpool of such a pool"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.max_unpool2d.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        places = node.args[1]
        if not (is_call(places, operator.getitem) and places.args[1] == 1):
            return MatchFailure("its places are not those of a pool")
        pool = places.args[0]
        if not is_call(pool, aten.max_pool2d_with_indices.default):
            return MatchFailure("its places are not those of a pool")
        window, padding = pair(argument(pool, 1)), pair(argument(pool, 3, 0))
        stride = pair(argument(pool, 2) or window)
        plain = stride == window and padding == (0, 0) and pair(argument(pool, 4, 1)) == (1, 1)
        if not plain or window[0] != window[1] or argument(pool, 5, False):
            return MatchFailure("the windows overlap, are padded or not square")
        source = pool.args[0]
        assert isinstance(source, Node)
        same = shape_of(source) == shape_of(node) and len(shape_of(node)) == 4
        return None if same else MatchFailure("it has another size than what was pooled")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, pool = module.graph, node.args[1].args[0]  # type: ignore[union-attr]
        assert isinstance(pool, Node)
        source, side = pool.args[0], pair(argument(pool, 1))[0]
        maxima = _without_places(graph, pool)
        values = node.args[0]  # those themselves, if nothing was computed of them
        assert isinstance(source, Node) and isinstance(values, Node)
        batch, channels, height, width = shape_of(values)
        zero, one = (
            add_constant(module, f"{node.name}_{name}", torch.tensor(v, dtype=_dtype(values)))
            for name, v in (("zero", 0.0), ("one", 1.0))
        )
        free, parts = one, []
        for place in range(side * side):
            part = _every(graph, source, side, divmod(place, side), (height, width))
            equal = call(graph, aten.eq.Tensor, part, maxima)
            here = call(graph, aten.where.self, equal, free, zero)
            free = call(graph, aten.sub.Tensor, free, here)
            parts.append(call(graph, aten.mul.Tensor, values, here))
        stacked = call(graph, aten.stack.default, parts, 2)
        shape = [batch, channels * side * side, height, width]
        wide = call(graph, aten.reshape.default, stacked, shape)
        result = call(graph, aten.pixel_shuffle.default, wide, side)
        below, right = shape_of(node)[2] - height * side, shape_of(node)[3] - width * side
        if below or right:
            result = call(graph, aten.constant_pad_nd.default, result, [0, right, 0, below])
        node.replace_all_uses_with(result)


def _without_places(graph: Graph, pool: Node) -> Node:
    """Return the pool's maxima, from one that gives nothing else, for all that read them."""
    window = [*pair(argument(pool, 1))]
    with graph.inserting_before(pool):
        maxima = call(graph, aten.max_pool2d.default, pool.args[0], window, window)
    for part in pool.users:
        if part.args[1] == 0:
            part.replace_all_uses_with(maxima)
    return maxima


def _dtype(node: Node) -> torch.dtype:
    dtype: torch.dtype = node.meta["val"].dtype
    return dtype


def _every(
    graph: Graph, source: Node, side: int, start: tuple[int, int], counts: tuple[int, int]
) -> Node:
    """Return one place of each window, (batch, channels, windows, windows)."""
    for axis in (0, 1):
        end = start[axis] + (counts[axis] - 1) * side + 1
        source = call(graph, aten.slice.Tensor, source, axis + 2, start[axis], end, side)
    return source
