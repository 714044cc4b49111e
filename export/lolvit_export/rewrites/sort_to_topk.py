"""Sort along an axis by taking as many of the largest as there are.

    sort(x, axis, descending)     becomes     topk(x, n, axis)
    sort(x, axis)                 becomes     -topk(-x, n, axis), and its indices

For litert-torch, whose sort LiteRT does not open. Equal values may change places.
"""

from __future__ import annotations

import operator
from typing import Any

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_SORTS = (aten.sort.default, aten.sort.stable)
_ARGSORTS = (aten.argsort.default, aten.argsort.stable)


class SortToTopk(Rewrite):
    """Requires static shapes, and that the order of equal values is not asked for."""

    name = "sort_to_topk"
    ensures = "nothing is sorted, but where the order of equal values counts"

    def matches(self, node: Node) -> bool:
        return is_call(node, *_SORTS, *_ARGSORTS)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        indices = node.target in _ARGSORTS or any(
            user.args[1] == 1 and user.users for user in node.users
        )
        if indices and _option(node, "stable", None):
            return MatchFailure("the order of equal values is asked for")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        assert isinstance(source, Node)
        rank, descending = len(shape_of(source)), bool(_option(node, "descending", 2))
        axis = int(_option(node, "dim", 1, -1)) % rank
        order = [*(i for i in range(rank) if i != axis), axis]
        back = [order.index(i) for i in range(rank)]
        moved = source if axis == rank - 1 else call(graph, aten.permute.default, source, order)
        given = moved if descending else call(graph, aten.neg.default, moved)
        pair = call(graph, aten.topk.default, given, shape_of(source)[axis])

        def part(index: int) -> Node:
            found = call(graph, operator.getitem, pair, index)
            if index == 0 and not descending:
                found = call(graph, aten.neg.default, found)
            return found if axis == rank - 1 else call(graph, aten.permute.default, found, back)

        if node.target in _ARGSORTS:
            node.replace_all_uses_with(part(1))
            return
        for user in list(node.users):
            if not user.users:
                graph.erase_node(user)
                continue
            user.replace_all_uses_with(part(user.args[1]))  # type: ignore[arg-type]
            graph.erase_node(user)


def _option(node: Node, name: str, place: int | None, default: Any = False) -> Any:
    """Return an argument that is given by name, or at a place where it has one."""
    if name in node.kwargs:
        return node.kwargs[name]
    return node.args[place] if place is not None and len(node.args) > place else default
