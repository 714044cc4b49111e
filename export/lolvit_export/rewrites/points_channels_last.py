"""Move a transpose of concatenated points to the maps that they come from.

maps (B, C, h, w) ── reshape (B, C, h·w) ── [sigmoid, relu] ── cat ── permute (B, L, C)
becomes
maps ── permute (B, h, w, C) ── reshape (B, h·w, C) ── [sigmoid, relu] ── cat (B, L, C)

Hardware with channels last holds the maps like that anyway: there nothing is moved.
"""

from __future__ import annotations

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import (
    RESHAPES,
    TRANSPOSES,
    argument,
    aten,
    axis_order,
    call,
    is_call,
    shape_of,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_ELEMENTWISE = (aten.sigmoid.default, aten.relu.default)


class PointsChannelsLast(Rewrite):
    """Requires the points' axes to be merged by a reshape of a map of rank 4."""

    name = "points_channels_last"
    ensures = "no transpose reads a concatenation of points"

    def matches(self, node: Node) -> bool:
        if not is_call(node, *TRANSPOSES) or axis_order(node) != [0, 2, 1]:
            return False
        return is_call(node.args[0], aten.cat.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        joined = node.args[0]
        assert isinstance(joined, Node)
        if int(argument(joined, 1, 0)) % 3 != 2:
            return MatchFailure("the concatenation is not along the points")
        for part in argument(joined, 0):
            if _map_of(part) is None:
                return MatchFailure(f"{part.name} is no reshaped map")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        joined = node.args[0]
        assert isinstance(joined, Node)
        parts = [_channels_last(module.graph, part) for part in argument(joined, 0)]
        node.replace_all_uses_with(call(module.graph, aten.cat.default, parts, 1))


def _map_of(part: Node) -> Node | None:
    """Return the map of rank 4 whose positions are the points of `part`, or None."""
    while is_call(part, *_ELEMENTWISE):
        source = part.args[0]
        assert isinstance(source, Node)
        part = source
    source = part.args[0] if is_call(part, *RESHAPES) else None
    if not isinstance(source, Node) or len(shape_of(source)) != 4:
        return None
    batch, channels, height, width = shape_of(source)
    return source if shape_of(part) == (batch, channels, height * width) else None


def _channels_last(graph: Graph, part: Node) -> Node:
    """Return a part (B, C, h·w) as (B, h·w, C)."""
    source = part.args[0]
    assert isinstance(source, Node)
    if is_call(part, *_ELEMENTWISE):
        return call(graph, part.target, _channels_last(graph, source))
    batch, channels, height, width = shape_of(source)
    last = call(graph, aten.permute.default, source, [0, 2, 3, 1])  # (B, h, w, C)
    return call(graph, aten.reshape.default, last, [batch, height * width, channels])
