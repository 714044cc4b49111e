"""Multiply the values along an axis in pairs, the halves of it at a time.

    prod(x, axis)      becomes     y = x[: n/2] · x[n/2 :] along the axis, as long as n > 1

For coremltools, which does not know the operation.
"""

from __future__ import annotations

import math

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class ProdToProducts(Rewrite):
    """Requires static shapes."""

    name = "prod_to_products"
    ensures = "no product of all values or along an axis of numbers of one type"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.prod.dim_int, aten.prod.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        source = node.args[0]
        assert isinstance(source, Node)
        if source.meta["val"].dtype != node.meta["val"].dtype:
            return MatchFailure("the type is changed")
        return None if math.prod(shape_of(source)) else MatchFailure("it has no values")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, result, axis = module.graph, node.args[0], 0
        assert isinstance(result, Node)
        if is_call(node, aten.prod.default):
            result = call(graph, aten.reshape.default, result, [math.prod(shape_of(result))])
        else:
            axis = int(argument(node, 1)) % len(shape_of(result))
        while (extent := shape_of(result)[axis]) > 1:
            half, rest = extent // 2, extent % 2
            first = call(graph, aten.slice.Tensor, result, axis, 0, half)
            second = call(graph, aten.slice.Tensor, result, axis, half, 2 * half)
            product = call(graph, aten.mul.Tensor, first, second)
            if rest:
                last = call(graph, aten.slice.Tensor, result, axis, 2 * half, extent)
                product = call(graph, aten.cat.default, [product, last], axis)
            result = product
        node.replace_all_uses_with(call(graph, aten.reshape.default, result, [*shape_of(node)]))
