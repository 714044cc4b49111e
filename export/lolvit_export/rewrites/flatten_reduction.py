"""Reduce one axis of a value that is reshaped to six axes or more among three.

    x ── reshape (a, b, n, c, d, e) ── amax, amin, mean or sum over the axis of n
becomes
    x ── reshape (a·b, n, c·d·e) ── the same over the second axis ── reshape

For Core ML, whose tensors have five axes at most (the pooled queries of Hiera's windows).
"""

from __future__ import annotations

import math

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import RESHAPES, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_REDUCTIONS = (aten.amax.default, aten.amin.default, aten.mean.dim, aten.sum.dim_IntList)
_MOST_AXES = 5


class FlattenReduction(Rewrite):
    """Requires static shapes."""

    name = "flatten_reduction"
    ensures = "no reshape to more than five axes is reduced over one of them"

    def matches(self, node: Node) -> bool:
        source = node.args[0] if is_call(node, *_REDUCTIONS) else None
        return is_call(source, *RESHAPES) and len(shape_of(source)) > _MOST_AXES

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if len(_axes(node)) != 1:
            return MatchFailure("it is over several axes")
        return MatchFailure("the type is changed") if node.kwargs.get("dtype") else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, wide = module.graph, node.args[0]
        assert isinstance(wide, Node)
        shape, (axis,) = shape_of(wide), _axes(node)
        before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        flat = call(graph, aten.reshape.default, wide.args[0], [before, shape[axis], behind])
        reduced = call(graph, node.target, flat, [1])
        node.replace_all_uses_with(call(graph, aten.reshape.default, reduced, [*shape_of(node)]))


def _axes(node: Node) -> list[int]:
    axes = argument(node, 1) or []
    rank = len(shape_of(node.args[0]))  # type: ignore[arg-type]
    return [int(axis) % rank for axis in ([axes] if isinstance(axes, int) else axes)]
