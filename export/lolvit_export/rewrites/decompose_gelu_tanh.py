"""Write a GELU by its approximation with tanh as the operations of its formula.

    gelu(x, approximate="tanh")
becomes
    0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))

For coremltools, which does not see the argument and writes the exact GELU, 72 dB from this one. It
joins these operations to its own `gelu` of the mode TANH_APPROXIMATION.
"""

from __future__ import annotations

import math

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import aten, call, is_call
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class DecomposeGeluTanh(Rewrite):
    """Requires nothing of the graph."""

    name = "decompose_gelu_tanh"
    ensures = "each GELU is the exact one"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.gelu.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        exact = node.kwargs.get("approximate", "none") == "none"
        return MatchFailure("it is the exact one") if exact else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        cube = call(graph, aten.pow.Tensor_Scalar, source, 3)
        bent = call(graph, aten.add.Tensor, source, call(graph, aten.mul.Tensor, cube, 0.044715))
        tanh = call(
            graph, aten.tanh.default, call(graph, aten.mul.Tensor, bent, math.sqrt(2 / math.pi))
        )
        half = call(graph, aten.mul.Tensor, source, 0.5)
        result = call(graph, aten.mul.Tensor, half, call(graph, aten.add.Tensor, tanh, 1))
        node.replace_all_uses_with(result)
