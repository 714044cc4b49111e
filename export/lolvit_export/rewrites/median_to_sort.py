"""Take the median, torch's lower one of two, or the k-th value from the sorted values.

    median(x, axis)                       becomes     select(sort(x, axis), (n - 1) // 2)
    median(x)                             becomes     the same of all values
    kthvalue(x, k, axis)                  becomes     select(sort(x, axis), k - 1)

No converter knows the first ones.
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
    ensures = "no median and no k-th value, but where its place counts"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.median.dim, aten.median.default, aten.kthvalue.default)

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
            place = (shape_of(flat)[0] - 1) // 2
            node.replace_all_uses_with(_sorted(module, flat, 0, place, kept=False))
            return
        ranked = is_call(node, aten.kthvalue.default)
        axis = int(argument(node, 1 + ranked, -1)) % len(shape_of(source))
        place = int(argument(node, 1)) - 1 if ranked else (shape_of(source)[axis] - 1) // 2
        kept = bool(argument(node, 2 + ranked, False))
        values = _sorted(module, source, axis, place, kept=kept)
        for part in list(node.users):
            if part.args[1] == 0:
                part.replace_all_uses_with(values)
            graph.erase_node(part)


def _sorted(module: GraphModule, source: Node, axis: int, place: int, *, kept: bool) -> Node:
    graph = module.graph
    pair = call(graph, aten.sort.default, source, axis)
    ascending = call(graph, operator.getitem, pair, 0)
    if kept:
        return call(graph, aten.slice.Tensor, ascending, axis, place, place + 1)
    return call(graph, aten.select.int, ascending, axis, place)
