"""Write an adaptive maximum pool as one of fixed windows, or as maxima of slices.

    x (B, C, H, W) ── adaptive_max_pool2d (h, w)
becomes
    x ── max_pool2d (H/h, W/w)                                   where both are integers
    x ── amax of each of h slices of rows, joined ── likewise of w slices of columns      elsewhere

Slice i of h goes from floor(i·H/h) to ceil((i + 1)·H/h), as PyTorch divides. A maximum over rows
and columns is that over columns of those over rows.

For converters without the operation: litert-torch has none, torch's ONNX exporter that of (1, 1).
"""

from __future__ import annotations

import operator

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class AdaptiveMaxPoolToMaxPool(Rewrite):
    """Requires static shapes, and that nothing reads where the maxima were."""

    name = "adaptive_max_pool_to_max_pool"
    ensures = "no adaptive maximum pool of a batch of maps whose indices are not read"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.adaptive_max_pool2d.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if any(user.args[1] != 0 and user.users for user in node.users):
            return MatchFailure("its indices are read")
        source = node.args[0]
        assert isinstance(source, Node)
        return None if len(shape_of(source)) == 4 else MatchFailure("its map has no batch")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        result, wanted = node.args[0], pair(node.args[1])  # type: ignore[arg-type]
        assert isinstance(result, Node)
        extents = shape_of(result)[2:]
        if all(extent % count == 0 for extent, count in zip(extents, wanted, strict=True)):
            window = [extent // count for extent, count in zip(extents, wanted, strict=True)]
            result = call(module.graph, aten.max_pool2d.default, result, window, window)
        else:
            for axis, count in zip((2, 3), wanted, strict=True):
                result = _maxima(module, result, axis, count)
        for user in list(node.users):
            assert user.target is operator.getitem
            user.replace_all_uses_with(result)
            module.graph.erase_node(user)


def _maxima(module: GraphModule, source: Node, axis: int, count: int) -> Node:
    """Return the maxima of `count` slices along an axis."""
    graph, extent = module.graph, shape_of(source)[axis]
    parts = []
    for index in range(count):
        start, end = index * extent // count, -(-(index + 1) * extent // count)
        part = call(graph, aten.slice.Tensor, source, axis, start, end)
        parts.append(call(graph, aten.amax.default, part, [axis], True))
    return call(graph, aten.cat.default, parts, axis) if count > 1 else parts[0]
