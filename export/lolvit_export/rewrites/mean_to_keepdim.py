"""Average a map over height and width as one global pool that keeps both axes.

    mean(x (b, c, h, w), [2, 3])            becomes     reshape(mean(x, [2, 3], kept))
    adaptive_avg_pool2d(x, (1, 1))          becomes     mean(x, [2, 3], kept)

The form in which XNNPACK in ExecuTorch takes it.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_SPACE = [2, 3]


class MeanToKeepdim(Rewrite):
    """Requires static shapes."""

    name = "mean_to_keepdim"
    ensures = "an average over height and width keeps both axes"

    def matches(self, node: Node) -> bool:
        if is_call(node, aten.adaptive_avg_pool2d.default):
            return True
        return is_call(node, aten.mean.dim) and not argument(node, 2, False)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        source = node.args[0]
        assert isinstance(source, Node)
        rank = len(shape_of(source))
        if rank != 4 or node.kwargs.get("dtype") is not None:
            return MatchFailure(f"rank {rank}, or the type changed")
        if is_call(node, aten.adaptive_avg_pool2d.default):
            kept = shape_of(node)[2:] == (1, 1)
            return None if kept else MatchFailure("it is not averaged to one value")
        axes = sorted(int(axis) % rank for axis in argument(node, 1) or [])
        return None if axes == _SPACE else MatchFailure(f"axes {axes} are not height and width")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        kept = call(module.graph, aten.mean.dim, node.args[0], _SPACE, True)
        node.replace_all_uses_with(
            call(module.graph, aten.reshape.default, kept, [*shape_of(node)])
        )
