"""Fill constant places along an axis by a constant mask.

    index_fill(x, axis, places, value)      becomes     where(mask, value, x)

torch's ONNX exporter and coremltools do not know the first.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import (
    add_constant,
    argument,
    aten,
    call,
    constant,
    is_call,
    shape_of,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class IndexFillToWhere(Rewrite):
    """Requires static shapes and constant places."""

    name = "index_fill_to_where"
    ensures = "no filling of constant places"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.index_fill.int_Scalar, aten.index_fill.int_Tensor)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        computed = constant(module, argument(node, 2)) is None
        return MatchFailure("its places are computed") if computed else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source, value = module.graph, node.args[0], argument(node, 3)
        places = constant(module, argument(node, 2))
        assert isinstance(source, Node) and places is not None
        shape = shape_of(source)
        axis = int(argument(node, 1)) % len(shape)
        mask = torch.zeros(shape[axis], dtype=torch.bool).index_fill(0, places, True)
        mask = mask.reshape([-1 if each == axis else 1 for each in range(len(shape))])
        filled = add_constant(module, f"{node.name}_mask", mask)
        if not isinstance(value, Node):
            scalar = torch.tensor(value, dtype=source.meta["val"].dtype)
            value = add_constant(module, f"{node.name}_value", scalar)
        node.replace_all_uses_with(call(graph, aten.where.self, filled, value, source))
