"""Write a sum over one of the last two axes as a product with ones.

    sum(x (…, m, n), axis -2, kept)     becomes     matmul(ones (…, 1, m), x)
    sum(x (…, m, n), axis -1, kept)     becomes     matmul(x, ones (…, n, 1))

XNNPACK in ExecuTorch multiplies matrices and does not sum: a sum inside attention would break the
delegate in two at each block.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class SumToMatmul(Rewrite):
    """Requires static shapes."""

    name = "sum_to_matmul"
    ensures = "no sum over one of the last two axes that keeps it"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.sum.dim_IntList)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if not argument(node, 2, False) or node.kwargs.get("dtype") is not None:
            return MatchFailure("the axis is dropped, or the type changed")
        axes, rank = argument(node, 1) or [], len(shape_of(node))
        if rank < 3 or len(axes) != 1 or int(axes[0]) % rank < rank - 2:
            return MatchFailure(f"axes {axes} of {rank} are not one of the last two")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source = node.args[0]
        assert isinstance(source, Node)
        *batch, rows, columns = shape_of(source)
        over_rows = int(argument(node, 1)[0]) % (len(batch) + 2) == len(batch)
        shape = [*batch, 1, rows] if over_rows else [*batch, columns, 1]
        ones = add_constant(module, "ones", torch.ones(shape, dtype=node.meta["val"].dtype))
        operands = (ones, source) if over_rows else (source, ones)
        node.replace_all_uses_with(call(module.graph, aten.matmul.default, *operands))
