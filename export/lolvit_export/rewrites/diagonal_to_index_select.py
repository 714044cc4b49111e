"""Choose a diagonal's constant places.

    diagonal(x, offset, i, j)      becomes     index_select of i·W + j of the two axes as one

coremltools knows the main diagonal of the first two axes alone.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call
from lolvit_export.rewrites.graph import shape_of as shape
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class DiagonalToIndexSelect(Rewrite):
    """Requires static shapes."""

    name = "diagonal_to_index_select"
    ensures = "no diagonal"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.diagonal.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, source = module.graph, node.args[0]
        assert isinstance(source, Node)
        rank = len(shape(source))
        offset, rows, columns = (int(argument(node, 1 + i, i - 1 if i else 0)) for i in range(3))
        rows, columns = rows % rank, columns % rank
        others = [axis for axis in range(rank) if axis not in (rows, columns)]
        height, width = shape(source)[rows], shape(source)[columns]
        table = torch.arange(height * width).reshape(height, width)
        places = add_constant(module, f"{node.name}_places", table.diagonal(offset))
        moved = call(graph, aten.permute.default, source, [*others, rows, columns])
        flat = call(graph, aten.reshape.default, moved, [*shape(moved)[:-2], height * width])
        node.replace_all_uses_with(call(graph, aten.index_select.default, flat, -1, places))
