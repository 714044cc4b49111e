"""Multiply a column by a row as a product by broadcasting.

    (…, n, 1) @ (…, 1, m)      becomes     (…, n, 1) · (…, 1, m)

For litert-torch, which fails on some of two axes (the attention of one head of one channel in
CSATv2): it looks for the contracted axis of length 1 in the wrong place.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class OuterProductToMul(Rewrite):
    """Requires static shapes."""

    name = "outer_product_to_mul"
    ensures = "no product of two matrices contracts an axis of length 1"

    def matches(self, node: Node) -> bool:
        products = aten.matmul.default, aten.mm.default, aten.bmm.default
        return is_call(node, *products) and shape(node.args[0])[-1] == 1  # type: ignore[arg-type]

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if any(len(shape(each)) == 1 for each in node.all_input_nodes):
            return MatchFailure("a vector has no second axis")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        column, row = node.args[:2]
        node.replace_all_uses_with(call(module.graph, aten.mul.Tensor, column, row))
