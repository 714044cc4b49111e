"""Write a randomized leaky ReLU as the plain one that it is in eval mode.

    rrelu(x, lower, upper)                becomes     leaky_relu(x, (lower + upper) / 2)

No converter knows the first.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_LOWER, _UPPER = 1 / 8, 1 / 3  # torch's defaults


class RreluToLeakyRelu(Rewrite):
    """Requires eval mode."""

    name = "rrelu_to_leaky_relu"
    ensures = "no randomized leaky ReLU"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.rrelu.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return MatchFailure("it is in training mode") if argument(node, 3, False) else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        slope = (argument(node, 1, _LOWER) + argument(node, 2, _UPPER)) / 2
        plain = call(module.graph, aten.leaky_relu.default, node.args[0], slope)
        node.replace_all_uses_with(plain)
