"""Write a nearest-neighbour resize as two selections: of rows, and of columns.

    x (B, C, h, w) ── upsample_nearest2d (H, W)
becomes
    x ── index_select (rows) ── index_select (columns)

For TFLite: litert-torch writes `RESIZE_NEAREST_NEIGHBOR` with half-pixel centres, which takes row
floor((i + 0.5) · h / H) where PyTorch takes floor(i · h / H). They are equal only where H is a
multiple of h, and W of w.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class NearestResizeToGather(Rewrite):
    """Requires a ratio that is no integer, of maps of rank 4."""

    name = "nearest_resize_to_gather"
    ensures = "each nearest-neighbour resize enlarges by an integer"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        source = node.args[0]
        assert isinstance(source, Node)
        before, after = shape_of(source)[2:], shape_of(node)[2:]
        chosen = _selected(node, *before)
        exact = all(
            there % here == 0 and torch.equal(index, torch.arange(there) // (there // here))
            for here, there, index in zip(before, after, chosen, strict=True)
        )
        return MatchFailure("enlarges by an integer") if exact else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source = node.args[0]
        assert isinstance(source, Node)
        result = source
        for axis, index in zip((2, 3), _selected(node, *shape_of(source)[2:]), strict=True):
            chosen = add_constant(module, f"{node.name}_axis{axis}", index.to(torch.int32))
            result = call(module.graph, aten.index_select.default, result, axis, chosen)
        node.replace_all_uses_with(result)


def _selected(node: Node, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns that a resize takes, by resizing their numbers."""
    rows = torch.arange(height).double().view(1, 1, height, 1).expand(1, 1, height, width)
    columns = torch.arange(width).double().view(1, 1, 1, width).expand(1, 1, height, width)
    resized = [node.target(each, *node.args[1:], **node.kwargs) for each in (rows, columns)]  # type: ignore[operator]
    return resized[0][0, 0, :, 0].long(), resized[1][0, 0, 0, :].long()
