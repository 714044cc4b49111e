"""Scatter a number of the type of what it is scattered into.

    zeros(…).scatter(1, places, 1)      becomes     zeros(…).scatter(1, places, 1.0)

For coremltools, which keeps the integer as one.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class FloatScatterValue(Rewrite):
    """Requires nothing."""

    name = "float_scatter_value"
    ensures = "no integer is scattered into floating-point numbers"

    def matches(self, node: Node) -> bool:
        whole = is_call(node, aten.scatter.value) and isinstance(node.args[3], int)
        return whole and bool(node.meta["val"].is_floating_point())

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        value = float(node.args[3])  # type: ignore[arg-type]
        scattered = call(module.graph, node.target, *node.args[:3], value)
        node.replace_all_uses_with(scattered)
