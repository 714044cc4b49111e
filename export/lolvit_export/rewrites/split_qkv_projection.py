"""Split a joint projection (q, k, v in one) into one projection each, so that no rank exceeds 4.

    x ── project(C·n) ── reshape(n, heads, d) [── permute] ── unbind(n), or one select each   rank 5
becomes, n times,
    x ── project(C) ── reshape(heads, d) [── permute]                                         rank 4

Rows of the weight move; no arithmetic changes. The projection is a convolution (channels on the
third last axis) or a linear layer (channels last). MobileViT-XS takes the same time either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.graph import (
    CONVOLUTIONS,
    PROJECTIONS,
    RESHAPES,
    TRANSPOSES,
    argument,
    aten,
    axis_order,
    call,
    computed_weight,
    constant,
    is_call,
    shape_of,
    with_weights,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


@dataclass(frozen=True)
class _Site:
    projection: Node
    reshape: Node
    order: list[int]  # the permutation after the reshape; identity if there is none
    axis: int  # the axis of the reshape's result that the split removes


class SplitQkvProjection(Rewrite):
    """Requires BatchNorm folded, so that the projection is read directly."""

    name = "split_qkv_projection"
    ensures = "no unbind or select of a projection's rank-5 head split"

    def matches(self, node: Node) -> bool:
        if is_call(node, aten.select.int):
            return len(shape_of(_split(node))) > 4
        return is_call(node, aten.unbind.int)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        site = _site(node)
        if isinstance(site, MatchFailure):
            return site
        computed = computed_weight(module, site.projection)
        if computed is not None:
            return MatchFailure(f"the projection's {computed} is computed, not constant")
        if is_call(site.projection, *CONVOLUTIONS) and argument(site.projection, 6, 1) != 1:
            return MatchFailure("the projection is a grouped convolution")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        site = _site(node)
        assert isinstance(site, _Site)
        parts = shape_of(site.reshape)[site.axis]
        part_shape = [e for i, e in enumerate(shape_of(site.reshape)) if i != site.axis]
        kept = [axis for axis in site.order if axis != site.axis]
        order = [axis - (axis > site.axis) for axis in kept]
        for reader, index in _readers(node):
            part = _part_of(module, site.projection, index % parts, parts)
            part = call(module.graph, aten.reshape.default, part, part_shape)
            reader.replace_all_uses_with(_permuted(module.graph, part, order))
            if reader is not node:
                module.graph.erase_node(reader)


def _split(node: Node) -> Node:
    """Return the value that an unbind or a select takes parts of."""
    source = node.args[0]
    assert isinstance(source, Node)
    return source


def _readers(node: Node) -> list[tuple[Node, int]]:
    """Return what reads each part that a split gives, and which part that is."""
    if is_call(node, aten.select.int):
        return [(node, int(argument(node, 2)))]
    return [(user, int(argument(user, 1))) for user in node.users]


def _site(node: Node) -> _Site | MatchFailure:
    """Find reshape and projection behind a split, or return why this is no head split."""
    source = _split(node)
    if any(not _splits_alike(user, node) for user in source.users):
        return MatchFailure("the value that is split has another reader")
    order = list(range(len(shape_of(source))))
    axis = int(argument(node, 1, 0)) % len(order)
    while is_call(source, *TRANSPOSES):
        before = axis_order(source)
        order, source = [before[axis] for axis in order], _split(source)
        if len(source.users) != 1:
            return MatchFailure("the value that is split has another reader")
    if not is_call(source, *RESHAPES):
        return MatchFailure("no reshape before it")
    projection = source.args[0]
    if not is_call(projection, *PROJECTIONS):
        return MatchFailure("what is split is not a convolution's or linear layer's output")
    if len(projection.users) != 1:
        return MatchFailure("the projection has another reader")
    if not _splits_channels(shape_of(projection), shape_of(source), order[axis], projection):
        return MatchFailure("the axis is not the leading part of the channels")
    return _Site(projection, source, order, order[axis])


def _splits_alike(user: Node, node: Node) -> bool:
    """Tell whether `user` is `node`, or a select on the same axis."""
    rank = len(shape_of(_split(node)))
    return user is node or (
        is_call(user, aten.select.int)
        and int(argument(user, 1)) % rank == int(argument(node, 1, 0)) % rank
    )


def _splits_channels(
    before: Sequence[int], after: Sequence[int], axis: int, projection: Node
) -> bool:
    """Tell whether `axis` of the reshaped value is the slowest factor of the channel axis."""
    channel = len(before) - (3 if is_call(projection, *CONVOLUTIONS) else 1)
    if math.prod(after[:axis]) != math.prod(before[:channel]):
        return False
    ends = {math.prod(after[axis:end]) for end in range(axis + 1, len(after) + 1)}
    return before[channel] in ends


def _part_of(module: GraphModule, projection: Node, index: int, parts: int) -> Node:
    """Return a projection that makes the channels of one part only."""
    weight = constant(module, argument(projection, 1))
    bias = constant(module, argument(projection, 2))
    assert weight is not None
    return with_weights(
        module,
        projection,
        f"{projection.name}_part{index}",
        weight.chunk(parts)[index],
        None if bias is None else bias.chunk(parts)[index],
    )


def _permuted(graph: Graph, node: Node, order: list[int]) -> Node:
    if order == sorted(order):
        return node
    return call(graph, aten.permute.default, node, order)
