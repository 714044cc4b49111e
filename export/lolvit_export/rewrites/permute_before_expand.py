"""Change the order of the axes before a value is repeated along some, not behind.

    x ── expand (…) ── permute      becomes     x ── permute ── expand (… in the new order)

The same values, of less to move. litert-torch drops a transpose behind a broadcast: the file then
computes something else, or LiteRT does not open it.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import TRANSPOSES, aten, axis_order, call, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class PermuteBeforeExpand(Rewrite):
    """Requires static shapes."""

    name = "permute_before_expand"
    ensures = "no change of the order of axes right behind an expand"

    def matches(self, node: Node) -> bool:
        return is_call(node, *TRANSPOSES) and is_call(node.args[0], aten.expand.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, expand = module.graph, node.args[0]
        assert isinstance(expand, Node)
        source = expand.args[0]
        assert isinstance(source, Node)
        if missing := len(shape(expand)) - len(shape(source)):
            whole = [*[1] * missing, *shape(source)]
            source = call(graph, aten.reshape.default, source, whole)
        moved = call(graph, aten.permute.default, source, axis_order(node))
        node.replace_all_uses_with(call(graph, aten.expand.default, moved, [*shape(node)]))
