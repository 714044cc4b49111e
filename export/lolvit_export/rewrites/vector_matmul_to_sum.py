"""Multiply by one vector in four axes or more as a sum of products.

    (1, 1, n, k) @ (1, 1, k, 1)      becomes     Σ_k (1, 1, n, k) · (1, 1, 1, k), kept as an axis

For litert-torch, which fails on it where its result is reshaped (the context of GCNet,
arXiv 1904.11492).
"""

from __future__ import annotations

import math

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call, swapped
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class VectorMatmulToSum(Rewrite):
    """Requires static shapes."""

    name = "vector_matmul_to_sum"
    ensures = "no product of one matrix and one vector has more than three axes"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.matmul.default) and len(shape(node)) > 3 and shape(node)[-1] == 1

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if any(len(shape(each)) == 1 for each in node.all_input_nodes):
            return MatchFailure("a vector has no second axis")
        batch = any(math.prod(shape(each)[:-2]) > 1 for each in node.all_input_nodes)
        return MatchFailure("it has a batch") if batch else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, (matrix, vector) = module.graph, node.args[:2]
        assert isinstance(matrix, Node) and isinstance(vector, Node)
        products = call(graph, aten.mul.Tensor, matrix, swapped(graph, vector))
        node.replace_all_uses_with(call(graph, aten.sum.dim_IntList, products, [-1], True))
