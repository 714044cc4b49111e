"""Compute the keys and the values of a map, and all else that pointwise convolutions of equal width
make of it and split into heads, by one convolution.

    x ── conv 1x1 (W_1, b_1) ── reshape (1, heads, d, N)
    ...
    x ── conv 1x1 (W_n, b_n) ── reshape (1, heads, d, N)
becomes
    x ── conv 1x1 ([W_1 ... W_n], [b_1 ... b_n]) ── reshape (1, n·heads, d, N) ── n slices

The reverse of split_qkv_projection, in rank 4. For integers: a convolution of the few positions
that window averages are is done in a few microseconds, most of which is what each call costs.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import (
    RESHAPES,
    argument,
    aten,
    call,
    computed_weight,
    constant,
    is_call,
    pair,
    shape_of,
    with_weights,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


class JoinPointwiseConvs(Rewrite):
    """Requires heads split and BatchNorm folded, so that each convolution is read by a reshape and
    has its bias."""

    name = "join_pointwise_convs"
    ensures = "pointwise convolutions of one map, split into heads of one size, are one convolution"

    def matches(self, node: Node) -> bool:
        return len(_alike(node)) > 1 and _alike(node)[0] is node

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        convolutions = [_convolution(each) for each in _alike(node)]
        if any(computed_weight(module, each) is not None for each in convolutions):
            return MatchFailure("a convolution's weight or bias is computed, not constant")
        if len({argument(each, 2) is None for each in convolutions}) > 1:
            return MatchFailure("only some of the convolutions have a bias")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        reshapes = _alike(node)
        convolutions = [_convolution(each) for each in reshapes]
        weights = [constant(module, argument(each, 1)) for each in convolutions]
        biases = [constant(module, argument(each, 2)) for each in convolutions]
        first, count = convolutions[0], len(reshapes)
        joined = with_weights(
            module,
            first,
            f"{first.name}_joined",
            torch.cat([weight for weight in weights if weight is not None]),
            None if biases[0] is None else torch.cat([b for b in biases if b is not None]),
        )
        _, heads, width, positions = shape_of(node)
        split = call(
            module.graph, aten.reshape.default, joined, [1, count * heads, width, positions]
        )
        for index, reshape in enumerate(reshapes):
            part = call(
                module.graph, aten.slice.Tensor, split, 1, index * heads, (index + 1) * heads
            )
            reshape.replace_all_uses_with(part)
            if reshape is not node:
                module.graph.erase_node(reshape)


def _alike(node: Node) -> list[Node]:
    """Return the reshapes, in the graph's order, of what pointwise convolutions make of the map
    that `node`'s does, to its shape; nothing where `node` is none."""
    if not _splits_heads(node):
        return []
    own = _convolution(node)
    source = own.args[0]
    assert isinstance(source, Node)
    readers = {reader for user in source.users for reader in user.users if _splits_heads(reader)}
    return [
        each
        for each in node.graph.nodes
        if each in readers
        and _convolution(each).args[0] is source
        and shape_of(each) == shape_of(node)
        and shape_of(_convolution(each)) == shape_of(own)
    ]


def _convolution(reshape: Node) -> Node:
    convolution = reshape.args[0]
    assert isinstance(convolution, Node)
    return convolution


def _splits_heads(node: Node) -> bool:
    """Whether a node reshapes (1, heads · d, h, w), which a pointwise convolution gives and nobody
    else reads, to (1, heads, d, h · w)."""
    if not is_call(node, *RESHAPES) or not is_call(node.args[0], aten.conv2d.default):
        return False
    convolution = node.args[0]
    weight, whole, split = argument(convolution, 1), shape_of(convolution), shape_of(node)
    plain = (
        len(convolution.users) == 1
        and isinstance(weight, Node)
        and shape_of(weight)[2:] == (1, 1)
        and pair(argument(convolution, 3, 1)) == (1, 1)
        and pair(argument(convolution, 4, 0)) == (0, 0)
        and argument(convolution, 6, 1) == 1
    )
    if not plain or len(whole) != 4 or len(split) != 4 or whole[0] != 1 or split[0] != 1:
        return False
    return split[1] * split[2] == whole[1] and split[3] == whole[2] * whole[3]
