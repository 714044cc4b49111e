"""Give a linear layer with a vector of weights a matrix of one row.

    linear(x, w of n)      becomes     squeeze(linear(x, w of (1, n)), -1)

coremltools takes matrices alone (the expected distance in a detector's distribution of distances,
Generalized Focal Loss, arXiv 2006.04388).
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class VectorLinearToMatrix(Rewrite):
    """Requires static shapes."""

    name = "vector_linear_to_matrix"
    ensures = "the weights of each linear layer are a matrix"

    def matches(self, node: Node) -> bool:
        if not is_call(node, aten.linear.default):
            return False
        weight = node.args[1]
        return isinstance(weight, Node) and len(shape_of(weight)) == 1

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        matrix = call(graph, aten.unsqueeze.default, node.args[1], 0)
        column = call(graph, aten.linear.default, node.args[0], matrix)
        result = call(graph, aten.squeeze.dim, column, -1)
        if (bias := argument(node, 2)) is not None:
            result = call(graph, aten.add.Tensor, result, bias)
        node.replace_all_uses_with(result)
