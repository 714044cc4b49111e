"""Normalize with running statistics as a BatchNorm does.

    instance_norm(x, weight, bias, mean, variance), of running statistics
becomes
    batch_norm(x, weight, bias, mean, variance)

In eval mode both compute the same; the other is folded into a convolution before it. coremltools
normalizes each image with its own statistics.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class InstanceNormToBatchNorm(Rewrite):
    """Requires nothing."""

    name = "instance_norm_to_batch_norm"
    ensures = "no instance norm uses running statistics"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.instance_norm.default) and not node.args[5]

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        *tensors, _, momentum, eps, _ = node.args
        args = (*tensors, False, momentum, eps, False)
        node.replace_all_uses_with(call(module.graph, aten.batch_norm.default, *args))
