"""Write an average pool as a depthwise convolution whose weights are all 1 / (kh·kw).

    x (B, C, H, W) ── avg_pool (kh, kw)
becomes
    x ── depthwise convolution, weight (C, 1, kh, kw) of 1 / (kh·kw), stride (kh, kw)

and a pool of single positions is left out.

For integers: runtimes have fast kernels for depthwise convolutions and slow ones, or none, for
average pools. The weight is one number, which is 127 times its scale exactly, so that quantizing it
rounds nothing.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.pad_avg_pool_to_divisible import is_exact
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class AvgPoolToDepthwiseConv(Rewrite):
    """Requires exact windows."""

    name = "avg_pool_to_depthwise_conv"
    ensures = "no average pool of exact windows, but where one window is the whole map"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.avg_pool2d.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        if not is_exact(node):
            return MatchFailure("its windows are not exact")
        if len(shape_of(node)) != 4:
            return MatchFailure("its map has no batch")
        if shape_of(node)[2:] == (1, 1):
            return MatchFailure("its window is the whole map: a mean")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        source, kernel = node.args[0], pair(argument(node, 1))
        assert isinstance(source, Node)
        if kernel == (1, 1):
            node.replace_all_uses_with(source)
            return
        channels = shape_of(source)[1]
        share = torch.full(
            (channels, 1, *kernel), 1 / (kernel[0] * kernel[1]), dtype=source.meta["val"].dtype
        )
        weight = add_constant(module, f"{node.name}_weight", share)
        stride = list(kernel)
        pooled = call(
            module.graph,
            aten.conv2d.default,
            source,
            weight,
            None,
            stride,
            [0, 0],
            [1, 1],
            channels,
        )
        node.replace_all_uses_with(pooled)
