"""Take a slice where padding is negative.

    pad(x, (-1, 2))      becomes     pad(x[1:], (0, 2))

For coremltools, which pads by 0 or more.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import PADS, aten, call, is_call, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class NegativePaddingToSlice(Rewrite):
    """Requires static shapes."""

    name = "negative_padding_to_slice"
    ensures = "no negative padding"

    def matches(self, node: Node) -> bool:
        return is_call(node, *PADS) and min(_pads(node)) < 0

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, result, pads = module.graph, node.args[0], _pads(node)
        assert isinstance(result, Node)
        for index in range(0, len(pads), 2):
            axis = len(shape_of(result)) - 1 - index // 2
            before, behind = (max(-pad, 0) for pad in pads[index : index + 2])
            if before or behind:
                end = shape_of(result)[axis] - behind
                result = call(graph, aten.slice.Tensor, result, axis, before, end)
        if any(rest := [max(pad, 0) for pad in pads]):
            result = call(graph, node.target, result, rest, *node.args[2:], **node.kwargs)
        node.replace_all_uses_with(result)


def _pads(node: Node) -> list[int]:
    """Return how much is added before and behind the last axis, the one before it, and so on."""
    pads: Any = node.args[1]
    return [int(pad) for pad in pads] or [0]
