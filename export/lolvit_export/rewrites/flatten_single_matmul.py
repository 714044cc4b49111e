"""Multiply two matrices in three axes where more have a batch of one.

    (1, 1, n, k) @ (1, 1, k, m)      becomes     ((1, n, k) @ (1, k, m)) ── reshape (1, 1, n, m)

For litert-torch, which fails on a product with a vector in four axes (the context of GCNet,
arXiv 1904.11492).
"""

from __future__ import annotations

import math

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class FlattenSingleMatmul(Rewrite):
    """Requires static shapes."""

    name = "flatten_single_matmul"
    ensures = "no product of two matrices has more than three axes"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.matmul.default) and len(shape(node)) > 3

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        one = all(math.prod(shape(each)[:-2]) == 1 for each in node.all_input_nodes)
        both = all(len(shape(each)) > 1 for each in node.all_input_nodes)
        return None if one and both else MatchFailure("it has a batch")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        first, second = (
            call(graph, aten.reshape.default, each, [1, *shape(each)[-2:]])  # type: ignore[arg-type]
            for each in node.args[:2]
        )
        product = call(graph, aten.matmul.default, first, second)
        node.replace_all_uses_with(call(graph, aten.reshape.default, product, [*shape(node)]))
