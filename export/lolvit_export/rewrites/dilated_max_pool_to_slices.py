"""Write a maximum pool with dilation as maxima of slices.

    max_pool2d (k, stride, padding, dilation)
becomes
    x ── pad with the least number ── maximum of k slices of rows ── of k slices of columns

Slice i begins i·dilation further and takes every stride-th row.

For coremltools, which has pools without dilation alone.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import argument, aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class DilatedMaxPoolToSlices(Rewrite):
    """Requires static shapes."""

    name = "dilated_max_pool_to_slices"
    ensures = "no maximum pool with dilation of a batch of maps"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.max_pool2d.default) and pair(argument(node, 4, 1)) != (1, 1)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        return None if len(shape_of(node)) == 4 else MatchFailure("its map has no batch")

    def rewrite(self, module: GraphModule, node: Node) -> None:
        graph, result, window = module.graph, node.args[0], pair(argument(node, 1))
        assert isinstance(result, Node)
        stride = pair(argument(node, 2) or window)
        padding, dilation = pair(argument(node, 3, 0)), pair(argument(node, 4, 1))
        ends = [
            (shape_of(node)[2 + axis] - 1) * stride[axis] + (window[axis] - 1) * dilation[axis] + 1
            for axis in (0, 1)
        ]
        behind = [ends[a] - padding[a] - shape_of(result)[2 + a] for a in (0, 1)]
        pads = [padding[1], max(behind[1], 0), padding[0], max(behind[0], 0)]
        if any(pads):
            least = torch.finfo(result.meta["val"].dtype).min
            result = call(graph, aten.constant_pad_nd.default, result, pads, least)
        for axis in (0, 1):
            result = _maximum(
                module, result, axis + 2, window[axis], dilation[axis], stride[axis],
                shape_of(node)[axis + 2],
            )  # fmt: skip
        node.replace_all_uses_with(result)


def _maximum(
    module: GraphModule,
    source: Node,
    axis: int,
    window: int,
    dilation: int,
    stride: int,
    outputs: int,
) -> Node:
    """Return the maximum of the slices that a window's places along an axis see."""
    graph, result = module.graph, None
    for place in range(window):
        start = place * dilation
        end = start + (outputs - 1) * stride + 1
        part = call(graph, aten.slice.Tensor, source, axis, start, end, stride)
        result = part if result is None else call(graph, aten.maximum.default, result, part)
    assert result is not None
    return result
