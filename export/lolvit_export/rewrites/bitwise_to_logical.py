"""Write bitwise operations on booleans as logical ones.

    a & b, a | b, ~a      become     logical_and, logical_or, logical_not
    a ^ b                 becomes    (a or b) and not (a and b)

litert-torch and coremltools take the first ones for integers, and have no exclusive or.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_AND = (aten.bitwise_and.Tensor, aten.__and__.Tensor)
_OR = (aten.bitwise_or.Tensor, aten.__or__.Tensor)
_XOR = (aten.bitwise_xor.Tensor, aten.__xor__.Tensor, aten.logical_xor.default)
_NOT = (aten.bitwise_not.default,)


class BitwiseToLogical(Rewrite):
    """Requires nothing."""

    name = "bitwise_to_logical"
    ensures = "no bitwise operation on booleans"

    def matches(self, node: Node) -> bool:
        return is_call(node, *_AND, *_OR, *_XOR, *_NOT)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        booleans = all(each.meta["val"].dtype == torch.bool for each in node.all_input_nodes)
        return None if booleans else MatchFailure("it is of integers")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, args = module.graph, node.args
        if is_call(node, *_NOT):
            result = call(graph, aten.logical_not.default, *args)
        elif is_call(node, *_AND):
            result = call(graph, aten.logical_and.default, *args)
        else:
            result = call(graph, aten.logical_or.default, *args)
        if is_call(node, *_XOR):
            both = call(graph, aten.logical_and.default, *args)
            one = call(graph, aten.logical_not.default, both)
            result = call(graph, aten.logical_and.default, result, one)
        node.replace_all_uses_with(result)
