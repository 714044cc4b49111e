"""Write an average pool of a map with zeros behind it as a depthwise convolution that pads itself.

    x (B, C, H, W) ── pad (0, r, 0, b) with zeros ── avg_pool (kh, kw)
becomes
    x ── depthwise convolution (b + kh, r + kw), stride (kh, kw), padding (b, r), whose weight is
         1 / (kh·kw), and 0 in its first b rows and r columns

Window i begins at i·kh - b and skips b rows: it averages what it averaged before. A map of 8x8 with
windows of 3x3 is read by 4x4, padded by one on each side, which TFLite calls SAME.

For converters to channels last that pad in the original layout: litert-torch moves the whole map
there and back for it, and where integers are around it, converts it to float and back.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node
from torch.nn import functional as F

from lolvit_export.rewrites.graph import add_constant, argument, aten, call, is_call, pair, shape_of
from lolvit_export.rewrites.pad_avg_pool_to_divisible import is_exact
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class PaddedAvgPoolToDepthwiseConv(Rewrite):
    """Requires exact windows, as pad_avg_pool_to_divisible makes them."""

    name = "padded_avg_pool_to_depthwise_conv"
    ensures = "no average pool of exact windows reads a map with zeros behind it"

    def matches(self, node: Node) -> bool:
        return is_call(node, aten.avg_pool2d.default) and is_call(
            node.args[0], aten.constant_pad_nd.default
        )

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        pad = node.args[0]
        assert isinstance(pad, Node)
        if not is_exact(node):
            return MatchFailure("its windows are not exact")
        if len(shape_of(node)) != 4:
            return MatchFailure("its map has no batch")
        if argument(pad, 2, 0) != 0 or _behind(pad) is None:
            return MatchFailure("its map is padded with other than zeros behind it")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        pad, kernel = node.args[0], pair(argument(node, 1))
        assert isinstance(pad, Node)
        behind = _behind(pad)
        assert behind is not None
        below, right = behind
        channels = shape_of(node)[1]
        share = torch.full(
            (channels, 1, *kernel), 1 / (kernel[0] * kernel[1]), dtype=node.meta["val"].dtype
        )
        pooled = call(
            module.graph,
            aten.conv2d.default,
            pad.args[0],
            add_constant(module, f"{node.name}_weight", F.pad(share, (right, 0, below, 0))),
            None,
            list(kernel),
            [below, right],
            [1, 1],
            channels,
        )
        node.replace_all_uses_with(pooled)


def _behind(pad: Node) -> tuple[int, int] | None:
    """Return how many rows and columns are added behind a map, None if anything else is."""
    padding = [int(each) for each in argument(pad, 1)]
    left, right, above, below = [*padding, 0, 0, 0, 0][:4]
    if any(padding[4:]) or left or above or min(right, below) < 0:
        return None
    return below, right
