"""Take the median, torch's lower one of two, from the sorted values.

    median(x, axis)                       becomes     select(sort(x, axis), (n - 1) // 2)
    median(x)                             becomes     the same of all values

No converter knows the first.
"""

from __future__ import annotations

import math
import operator

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class MedianToSort(Rewrite):
    """Requires static shapes."""

    name = "median_to_sort"
    ensures = "no median, but where its place counts"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.median.dim, aten.median.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if is_call(node, aten.median.default):
            return None
        read = any(user.args[1] == 1 and user.users for user in node.users)
        return (
            MatchFailure("its place is read, of which equal values have several") if read else None
        )

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        assert isinstance(source, Node)
        if is_call(node, aten.median.default):
            flat = call(graph, aten.reshape.default, source, [math.prod(shape_of(source))])
            node.replace_all_uses_with(_middle(module, flat, 0, kept=False))
            return
        axis, kept = int(argument(node, 1)) % len(shape_of(source)), bool(argument(node, 2, False))
        values = _middle(module, source, axis, kept=kept)
        for part in list(node.users):
            if part.args[1] == 0:
                part.replace_all_uses_with(values)
            graph.erase_node(part)


def _middle(module: GraphModule, source: Node, axis: int, *, kept: bool) -> Node:
    graph, place = module.graph, (shape_of(source)[axis] - 1) // 2
    pair = call(graph, aten.sort.default, source, axis)
    ascending = call(graph, operator.getitem, pair, 0)
    if kept:
        return call(graph, aten.slice.Tensor, ascending, axis, place, place + 1)
    return call(graph, aten.select.int, ascending, axis, place)
