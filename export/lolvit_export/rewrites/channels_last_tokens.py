"""Between a feature map and its positions as rows: how hardware with channels last holds it anyway,
so that neither way moves anything there."""

from __future__ import annotations

from collections.abc import Sequence

from torch.fx import Graph, Node

from lolvit_export.rewrites.graph import aten, call, shape_of


def as_positions(graph: Graph, feature_map: Node) -> Node:
    """(1, C, H, W) -> (1, 1, H·W, C)."""
    _, channels, height, width = shape_of(feature_map)
    last = call(graph, aten.permute.default, feature_map, [0, 2, 3, 1])  # (1, H, W, C)
    return call(graph, aten.reshape.default, last, [1, 1, height * width, channels])


def as_map(graph: Graph, positions: Node, sides: Sequence[int]) -> Node:
    """(1, 1, H·W, C) -> (1, C, H, W)."""
    channels = shape_of(positions)[-1]
    last = call(graph, aten.reshape.default, positions, [1, *sides, channels])  # (1, H, W, C)
    return call(graph, aten.permute.default, last, [0, 3, 1, 2])
