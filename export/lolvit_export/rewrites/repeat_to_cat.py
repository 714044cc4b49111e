"""Write a repetition as concatenations of a tensor with itself.

    x ── repeat (n, m, …)
becomes
    x ── cat of n along the first axis ── cat of m along the second ── …, of those above 1

Counts for axes that x does not have stand first: x gets axes of 1 there.

For litert-torch, which moves the channels of x and not the counts: a map that is repeated
downwards became one that is repeated to the right.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class RepeatToCat(Rewrite):
    """Requires static shapes."""

    name = "repeat_to_cat"
    ensures = "nothing is repeated, but no times"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.repeat.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return MatchFailure("it is empty") if 0 in node.args[1] else None  # type: ignore[operator]

    def rewrite(self, module: GraphModule, node: Node) -> None:
        result, counts = node.args
        assert isinstance(result, Node) and isinstance(counts, (list, tuple))
        shape = shape_of(result)
        if len(counts) > len(shape):
            ones = [1] * (len(counts) - len(shape))
            result = call(module.graph, aten.reshape.default, result, [*ones, *shape])
        for axis, count in enumerate(counts):
            if count != 1:
                result = call(module.graph, aten.cat.default, [result] * count, axis)
        node.replace_all_uses_with(result)
