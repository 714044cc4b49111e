"""Remove a transpose that undoes the one before it or changes nothing; merge two in a row into one.

x ── permute(p) ── permute(q)     becomes     x ── permute(p∘q),  or x where p∘q is the identity
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import TRANSPOSES, aten, axis_order, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class CancelTransposes(Rewrite):
    """Requires nothing."""

    name = "cancel_transposes"
    ensures = "no transpose reads a transpose; none keeps the order of axes"

    def matches(self, node: Node) -> bool:
        if not is_call(node, *TRANSPOSES):
            return False
        return is_call(node.args[0], *TRANSPOSES) or _is_identity(axis_order(node))

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source, order = node.args[0], axis_order(node)
        if is_call(source, *TRANSPOSES):
            inner = axis_order(source)
            source, order = source.args[0], [inner[axis] for axis in order]
        assert isinstance(source, Node)
        if not _is_identity(order):
            source = call(module.graph, aten.permute.default, source, order)
        node.replace_all_uses_with(source)


def _is_identity(order: list[int]) -> bool:
    return order == sorted(order)
