"""Take the largest values, where only these are read, from their places.

    topk(x, k, axis).values               becomes     gather(x, axis, topk(x, k, axis).indices)

For LiteRT, which opens no file with a top-k whose indices nothing reads.
"""

from __future__ import annotations

import operator

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class TopkValuesByIndices(Rewrite):
    """Requires nothing."""

    name = "topk_values_by_indices"
    ensures = "the indices of each top-k are read"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.topk.default) and any(each.args[1] == 0 for each in node.users)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        read = any(each.args[1] == 1 and each.users for each in node.users)
        return MatchFailure("its indices are read too") if read else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        largest = call(graph, aten.topk.default, *node.args, **node.kwargs)
        indices = call(graph, operator.getitem, largest, 1)
        values = call(graph, aten.gather.default, node.args[0], argument(node, 2, -1), indices)
        for part in list(node.users):  # the indices are not read
            if part.args[1] == 0:
                part.replace_all_uses_with(values)
            graph.erase_node(part)
