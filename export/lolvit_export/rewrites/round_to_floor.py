"""Round to the nearest integer, halves to the even one, by rounding down.

    round(x)    becomes    floor(x), and 1 more where the rest x - floor(x) is above 0.5, or where
                           it is 0.5 and floor(x) is odd

The rest is exact. For litert-torch, whose operation LiteRT does not run.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class RoundToFloor(Rewrite):
    """Requires nothing."""

    name = "round_to_floor"
    ensures = "nothing is rounded to the nearest integer"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.round.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, x = module.graph, node.args[0]
        down = call(graph, aten.floor.default, x)
        rest = call(graph, aten.sub.Tensor, x, down)
        half = call(graph, aten.floor.default, call(graph, aten.mul.Tensor, down, 0.5))
        odd = call(graph, aten.sub.Tensor, down, call(graph, aten.mul.Tensor, half, 2.0))  # 0 or 1
        above = call(graph, aten.gt.Scalar, rest, 0.5)
        at_half = call(graph, aten.ge.Scalar, rest, 0.5)
        up = call(
            graph,
            aten.logical_or.default,
            above,
            call(graph, aten.logical_and.default, at_half, call(graph, aten.gt.Scalar, odd, 0.5)),
        )
        more = call(graph, aten.add.Tensor, down, 1.0)
        node.replace_all_uses_with(call(graph, aten.where.self, up, more, down))
