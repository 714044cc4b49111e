"""Fold an eval-mode BatchNorm into the convolution before it.

    x ── conv(W, b) ── BN(γ, β, μ, σ²)    becomes    x ── conv(W·s, (b - μ)·s + β)

with s = γ / √(σ² + ε), per output channel.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lolvit_export.rewrites.graph import (
    CONVOLUTIONS,
    argument,
    aten,
    computed_weight,
    constant,
    is_call,
    shape_of,
    with_weights,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class FoldBatchNorm(Rewrite):
    """Requires functional operations."""

    name = "fold_batch_norm"
    ensures = "no BatchNorm whose only producer is a convolution"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.batch_norm.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        producer = node.args[0]
        if argument(node, 5):
            return MatchFailure("BatchNorm is in training mode")
        if not is_call(producer, *CONVOLUTIONS):
            return MatchFailure("its input is not a convolution")
        if len(shape_of(producer)) != 4:
            return MatchFailure("the convolution's output has no batch axis")
        if len(producer.users) != 1:
            return MatchFailure("the convolution has another reader")
        computed = computed_weight(module, producer)
        if computed is not None:
            return MatchFailure(f"the convolution's {computed} is computed, not constant")
        own = [argument(node, index) for index in (1, 2, 3, 4)]
        if any(part is not None and constant(module, part) is None for part in own):
            return MatchFailure("its own parameters are computed, not constant")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        conv = node.args[0]
        assert isinstance(conv, Node)
        weight, bias = fuse_conv_bn_weights(
            _required(module, argument(conv, 1)),
            constant(module, argument(conv, 2)),
            _required(module, node.args[3]),
            _required(module, node.args[4]),
            float(argument(node, 7)),
            constant(module, node.args[1]),
            constant(module, node.args[2]),
        )
        node.replace_all_uses_with(with_weights(module, conv, conv.name, weight, bias))


def _required(module: GraphModule, node: object) -> Tensor:
    value: Tensor | None = constant(module, node)
    assert value is not None
    return value
