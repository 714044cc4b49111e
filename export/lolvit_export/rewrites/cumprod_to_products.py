"""Multiply up along an axis by products with the values 1, 2, 4, … places before.

    cumprod(x, axis)      becomes     y = y · (ones, y[: n - s]) along the axis, s = 1, 2, 4, … < n

Each step doubles how many values a product has (Hillis and Steele, Data parallel algorithms, 1986).
torch's ONNX exporter and litert-torch do not know the operation.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class CumprodToProducts(Rewrite):
    """Requires static shapes."""

    name = "cumprod_to_products"
    ensures = "no product up to each place of numbers of one type"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.cumprod.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        source = node.args[0]
        assert isinstance(source, Node)
        same = source.meta["val"].dtype == node.meta["val"].dtype
        return None if same else MatchFailure("the type is changed")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, result = module.graph, node.args[0]
        assert isinstance(result, Node)
        shape = [*shape_of(result)]
        axis, step = int(argument(node, 1)) % len(shape), 1
        extent = shape[axis]
        while step < extent:
            shape[axis] = step
            ones = torch.ones(shape, dtype=result.meta["val"].dtype)
            first = add_constant(module, f"{node.name}_ones", ones)
            rest = call(graph, aten.slice.Tensor, result, axis, 0, extent - step)
            moved = call(graph, aten.cat.default, [first, rest], axis)
            result = call(graph, aten.mul.Tensor, result, moved)
            step *= 2
        node.replace_all_uses_with(result)
