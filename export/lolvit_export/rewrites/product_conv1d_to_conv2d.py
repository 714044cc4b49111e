"""Write a convolution over a line that reads a product of matrices as one over a map.

    product (B, C, L) ── conv1d(w (O, C/g, k), stride s, padding p, dilation d)
becomes
    product ── unsqueeze (B, C, L, 1) ── conv2d(w (O, C/g, k, 1), (s, 1), (p, 0), (d, 1)) ── squeeze

For litert-torch, which writes a map of (B, C, 1, L) instead: TFLite's converter joins that change
of shape to the product, and then refuses the product (EfficientViM's state of a few positions).
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_PRODUCTS = (aten.bmm.default, aten.matmul.default)
_BIAS, _STRIDE, _PADDING, _DILATION, _GROUPS = 2, 3, 4, 5, 6  # places among the arguments


class ProductConv1dToConv2d(Rewrite):
    """Requires a batch axis."""

    name = "product_conv1d_to_conv2d"
    ensures = "no convolution over a line reads a product of matrices itself"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.conv1d.default) and is_call(node.args[0], *_PRODUCTS)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return MatchFailure("it has no batch axis") if len(shape_of(node)) != 3 else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph = module.graph
        line, weight = node.args[:2]
        result = call(
            graph,
            aten.conv2d.default,
            call(graph, aten.unsqueeze.default, line, 3),
            call(graph, aten.unsqueeze.default, weight, 3),
            argument(node, _BIAS),
            [*_one(argument(node, _STRIDE, 1)), 1],
            [*_one(argument(node, _PADDING, 0)), 0],
            [*_one(argument(node, _DILATION, 1)), 1],
            argument(node, _GROUPS, 1),
        )
        node.replace_all_uses_with(call(graph, aten.squeeze.dim, result, 3))


def _one(value: int | list[int]) -> list[int]:
    return [value] if isinstance(value, int) else [*value]
