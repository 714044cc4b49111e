"""Write a batched matmul as the rank-3 `bmm` that it is, its batch axes joined.

    matmul(a (b, h, n, m), b (b, h, m, d))     becomes     reshape(bmm(reshape(a), reshape(b)))

Only for XNNPACK in ExecuTorch, which takes `bmm` and otherwise gets it behind two `expand` that
change nothing and that no delegate takes. (LiteRT's GPU delegate wants the opposite: heads are
never joined into the batch there.)
"""

from __future__ import annotations

import math

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class MatmulToBmm(Rewrite):
    """Requires static shapes."""

    name = "matmul_to_bmm"
    ensures = "a matmul of two operands with the same batch axes is one bmm"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.matmul.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        first, second = (shape_of(operand) for operand in _operands(node))
        if min(len(first), len(second)) < 3 or first[:-2] != second[:-2]:
            return MatchFailure(f"operands {first} and {second} do not share their batch axes")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        batch = math.prod(shape_of(node)[:-2])
        flat = [
            call(graph, aten.reshape.default, operand, [batch, *shape_of(operand)[-2:]])
            for operand in _operands(node)
        ]
        product = call(graph, aten.bmm.default, *flat)
        node.replace_all_uses_with(call(graph, aten.reshape.default, product, [*shape_of(node)]))


def _operands(node: Node) -> tuple[Node, Node]:
    first, second = node.args
    assert isinstance(first, Node) and isinstance(second, Node)
    return first, second
