"""Write a bilinear layer as two products.

    y_o = Σ_ij a_i · W_oij · b_j          becomes     (a ── matmul (I, O·J) ── reshape (O, J)) · b

litert-torch and coremltools know no bilinear layer.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, constant, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class BilinearToMatmul(Rewrite):
    """Requires static shapes and a constant weight."""

    name = "bilinear_to_matmul"
    ensures = "no bilinear layer"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.bilinear.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        computed = constant(module, argument(node, 2)) is None
        return MatchFailure("its weight is computed") if computed else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, (first, second) = module.graph, node.args[:2]
        weight = constant(module, argument(node, 2))
        assert isinstance(first, Node) and isinstance(second, Node) and weight is not None
        outputs, inputs, others = weight.shape
        table = weight.permute(1, 0, 2).reshape(inputs, outputs * others)
        wide = add_constant(module, f"{node.name}_weight", table)
        product = call(graph, aten.matmul.default, first, wide)
        rows = call(graph, aten.reshape.default, product, [*shape(first)[:-1], outputs, others])
        column = call(graph, aten.unsqueeze.default, second, -1)
        result = call(graph, aten.matmul.default, rows, column)
        result = call(graph, aten.squeeze.dim, result, -1)
        if (bias := argument(node, 3)) is not None:
            result = call(graph, aten.add.Tensor, result, bias)
        node.replace_all_uses_with(result)
