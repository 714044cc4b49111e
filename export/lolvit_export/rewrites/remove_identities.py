"""Remove operations that return their input: dropout in eval mode, copies, no-op views; and a
reshape that another one undoes or goes on from.

x ── dropout(eval) ── y            becomes        x ── y
x ── reshape(s) ── reshape(t)      becomes        x ── reshape(t)
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import RESHAPES, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_ALWAYS = (
    aten.detach.default,
    aten.alias.default,
    aten.lift_fresh_copy.default,
    aten.clone.default,
    aten.contiguous.default,
)
_IF_SAME_SHAPE = (aten.expand.default, *RESHAPES)


class RemoveIdentities(Rewrite):
    """Requires nothing."""

    name = "remove_identities"
    ensures = "no dropout, copy or view that changes nothing; no reshape reads a reshape"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.dropout.default, *_ALWAYS) or _keeps_shape(node) or _again(node)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if is_call(node, aten.dropout.default) and node.args[2]:
            return MatchFailure("dropout is in training mode")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source = node.args[0]
        if _again(node):
            assert isinstance(source, Node)
            source = source.args[0]
        assert isinstance(source, Node)
        if shape_of(source) != shape_of(node):
            source = call(module.graph, aten.reshape.default, source, list(shape_of(node)))
        node.replace_all_uses_with(source)


def _again(node: Node) -> bool:
    return is_call(node, *RESHAPES) and is_call(node.args[0], *RESHAPES)


def _keeps_shape(node: Node) -> bool:
    if not is_call(node, *_IF_SAME_SHAPE):
        return False
    source = node.args[0]
    return isinstance(source, Node) and shape_of(source) == shape_of(node)
