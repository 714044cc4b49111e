"""Compare with the numbers of the classes, in place of one_hot.

    one_hot(x, n)      becomes     (x ── unsqueeze) == [0, …, n - 1], as integers

For litert-torch, which does not know the check of the numbers that the operation begins with.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class OneHotToEqual(Rewrite):
    """Requires a static number of classes."""

    name = "one_hot_to_equal"
    ensures = "no one_hot"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.one_hot.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        classes = add_constant(module, f"{node.name}_classes", torch.arange(shape_of(node)[-1]))
        column = call(graph, aten.unsqueeze.default, node.args[0], -1)
        equal = call(graph, aten.eq.Tensor, column, classes)
        node.replace_all_uses_with(call(graph, aten.to.dtype, equal, torch.int64))
