"""Write distances and cosines of vectors as sums of products.

    cosine_similarity(x, y, axis)      becomes     Σ x·y / (max(|x|, ε) · max(|y|, ε))
    cdist(x, y)                        becomes     √Σ (x_i - y_j)², or Σ |x_i - y_j| for p = 1

coremltools reads no default arguments of the first, and neither it nor torch's ONNX exporter has
the second. By differences a distance is exact also where the vectors are close, as by
|x|² + |y|² - 2xy it is not.
"""

from __future__ import annotations

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class DecomposeDistances(Rewrite):
    """Requires static shapes."""

    name = "decompose_distances"
    ensures = "no cosine similarity, and no distance of order 1 or 2"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.cosine_similarity.default, aten.cdist.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        other = is_call(node, aten.cdist.default) and argument(node, 2, 2) not in (1, 2)
        return MatchFailure("its order is neither 1 nor 2") if other else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, (first, second) = module.graph, node.args[:2]
        assert isinstance(first, Node) and isinstance(second, Node)
        if is_call(node, aten.cosine_similarity.default):
            axis, least = argument(node, 2, 1), argument(node, 3, 1e-8)
            product = _sum(graph, call(graph, aten.mul.Tensor, first, second), axis)
            lengths = (_length(graph, each, axis, least) for each in (first, second))
            both = call(graph, aten.mul.Tensor, *lengths)
            result = call(graph, aten.div.Tensor, product, both)
        else:
            rows = call(graph, aten.unsqueeze.default, first, -2)
            columns = call(graph, aten.unsqueeze.default, second, -3)
            moved = call(graph, aten.sub.Tensor, rows, columns)
            if argument(node, 2, 2) == 1:
                result = _sum(graph, call(graph, aten.abs.default, moved), -1)
            else:
                squares = call(graph, aten.mul.Tensor, moved, moved)
                result = call(graph, aten.sqrt.default, _sum(graph, squares, -1))
        node.replace_all_uses_with(result)


def _sum(graph: Graph, source: Node, axis: int) -> Node:
    return call(graph, aten.sum.dim_IntList, source, [axis])


def _length(graph: Graph, source: Node, axis: int, least: float) -> Node:
    squares = call(graph, aten.mul.Tensor, source, source)
    length = call(graph, aten.sqrt.default, _sum(graph, squares, axis))
    return call(graph, aten.clamp_min.default, length, least)
