"""Count the boundaries below a number.

    bucketize(x, b)      becomes     Σ_i (b_i < x), or of (b_i ≤ x) if it is to the right

litert-torch and coremltools do not know the operation.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, constant, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_MOST = 256


class BucketizeToSum(Rewrite):
    """Requires constant boundaries."""

    name = "bucketize_to_sum"
    ensures = "no search in few constant boundaries"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.bucketize.Tensor)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        boundaries = constant(module, node.args[1])
        if boundaries is None:
            return MatchFailure("its boundaries are computed")
        few = boundaries.numel() <= _MOST
        return None if few else MatchFailure(f"it has more than {_MOST} boundaries")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        right = bool(argument(node, 3, False))
        column = call(graph, aten.unsqueeze.default, node.args[0], -1)
        compare = aten.ge.Tensor if right else aten.gt.Tensor
        above = call(graph, compare, column, node.args[1])
        counted = call(graph, aten.to.dtype, above, node.meta["val"].dtype)
        result = call(graph, aten.sum.dim_IntList, counted, [-1])
        node.replace_all_uses_with(call(graph, aten.to.dtype, result, node.meta["val"].dtype))
