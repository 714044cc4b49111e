"""Compute heads of ReLU attention together, masked, instead of side by side.

    for each head: vᵀ (d, M) · A (M, N),  A = ReLU(k (M, d)·q (d, N)) ÷ (column sum + ε)
becomes, with positions as rows, for each group of G heads, c = G · d of all C channels,
    [K V] = (W [X … X]) ∘ mask                    (G · M, 2 · C), once for all groups
    S = ReLU(Q (N, c) · Kᵀ)                       (N, G · M)
    Y = S ÷ (S·B + ε) · V                         (N, c)

[X … X] stacks the windows (M, in) once a head of a group; W are the pointwise convolutions of keys
and values, joined. The mask keeps of each copy the channels of its head in every group, so that a
row meets its own head alone; a group reads its c channels of queries, keys and values.
B (G · M, G · M) is one where both belong to the same head: S·B is each head's sum, as often as it
divides.

Qualcomm's HTP multiplies faster than it transposes or joins, but what it multiplies by it first has
to bring into the layout of weights, masked zeros too. It holds channels in blocks of 32: a group is
as large as its G · M scores fit into one. LOLViT-X at 256x256 has 9 heads of 9 windows at the end:
three groups of 27 scores, a ninth of the products of all heads together.

Where the windows are a product with a constant (avg_pool_to_matmul), that is stacked instead
of them. The queries stay a map (1, H, W, C): each of its rows is multiplied with the same keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from lolvit_export.rewrites.channels_last_tokens import as_map, as_positions
from lolvit_export.rewrites.graph import (
    CONVOLUTIONS,
    RESHAPES,
    add_constant,
    argument,
    aten,
    call,
    computed_weight,
    constant,
    is_call,
    is_last_two_swap,
    shape_of,
    swapped,
    with_weights,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_CHANNELS_LAST, _CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
# Channels of 8 bits that HTP holds side by side; what it computes of fewer takes as long.
_BLOCK = 32


@dataclass(frozen=True)
class _Site:
    query: Node  # (1, C, H, W)
    key: Node  # (1, C, a, b)
    value: Node  # (1, C, a, b)
    heads: int
    eps: float


class MergeHeadsBlockDiagonal(Rewrite):
    """Requires static attention; after avg_pool_to_matmul it joins less."""

    name = "merge_heads_block_diagonal"
    ensures = "ReLU attention has a product for each group of heads, and no axis of heads"

    def matches(self, node: Node) -> bool:
        if not is_call(node, *RESHAPES) or not is_call(node.args[0], aten.matmul.default):
            return False
        division = node.args[0].args[1]
        return is_call(division, aten.div.Tensor) and is_call(division.args[0], aten.relu.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        site = _site(node)
        return site if isinstance(site, MatchFailure) else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        site = _site(node)
        assert isinstance(site, _Site)
        graph, channels = module.graph, shape_of(node)[1]
        keys = shape_of(site.key)[2] * shape_of(site.key)[3]
        group = _group(site.heads, keys)
        query = call(graph, aten.permute.default, site.query, _CHANNELS_LAST)  # (1, H, W, C)
        both = _keys_and_values(module, site, keys, group)  # (1, 1, G · M, 2 · C)
        width = channels // site.heads
        parts = []
        for first in range(0, site.heads, group):
            count = min(group, site.heads - first)  # the last group may be smaller
            begin, end = first * width, (first + count) * width
            rows = _slice(graph, both, 2, 0, count * keys)  # (1, 1, count · M, 2 · C)
            key = _slice(graph, rows, 3, begin, end)  # (1, 1, count · M, c)
            value = _slice(graph, rows, 3, channels + begin, channels + end)
            own = _slice(graph, query, 3, begin, end)  # (1, H, W, c)
            parts.append(_attended(module, node, (own, key, value), count, site.eps))
        tokens = parts[0] if len(parts) == 1 else call(graph, aten.cat.default, parts, 3)
        node.replace_all_uses_with(call(graph, aten.permute.default, tokens, _CHANNELS_FIRST))


def _group(heads: int, keys: int) -> int:
    """Return how many heads are computed together: so many that their scores fit into a block of
    channels, in groups as even as possible."""
    groups = -(-heads // max(1, _BLOCK // keys))
    return -(-heads // groups)


def _slice(graph: Graph, node: Node, axis: int, begin: int, end: int) -> Node:
    if (begin, end) == (0, shape_of(node)[axis]):
        return node
    return call(graph, aten.slice.Tensor, node, axis, begin, end)


def _attended(
    module: GraphModule, node: Node, operands: tuple[Node, Node, Node], heads: int, eps: float
) -> Node:
    """Return what the heads of one group attend to, (1, H, W, c), of their queries (1, H, W, c),
    and keys and values, masked (1, 1, heads · M, c)."""
    query, key, value = operands
    graph, rows = module.graph, shape_of(key)[2]
    scores = call(graph, aten.matmul.default, query, swapped(graph, key))
    scores = call(graph, aten.relu.default, scores)  # (1, H, W, heads · M)
    same = _same(heads, rows // heads).to(node.meta["val"].dtype)
    same_head = add_constant(module, f"{node.name}_same", same)
    total = call(graph, aten.matmul.default, scores, same_head)  # (1, H, W, heads · M)
    bounded = call(graph, aten.add.Tensor, total, eps)
    weights = call(graph, aten.div.Tensor, scores, bounded)  # (1, H, W, heads · M)
    return call(graph, aten.matmul.default, weights, value)  # (1, H, W, c)


def _keys_and_values(module: GraphModule, site: _Site, keys: int, group: int) -> Node:
    """Return the keys and behind them the values, once a head of a group of G, masked:
    (1, 1, G · M, 2 · C)."""
    stacked = _stacked(module, site.key.args[0], group)  # (1, 1, G · M, in)
    windows = as_map(module.graph, stacked, (1, group * keys))  # (1, in, 1, G · M)
    weights, biases = zip(
        *(_constants(module, each) for each in (site.key, site.value)), strict=True
    )
    both = with_weights(
        module, site.key, site.key.name, torch.cat(weights), torch.cat(biases), source=windows
    )  # (1, 2 · C, 1, G · M)
    mask = _mask(site.heads, group, keys, shape_of(site.key)[1]).to(both.meta["val"].dtype)
    masked = add_constant(module, f"{site.key.name}_heads", mask.repeat(1, 2)[None, None])
    return call(module.graph, aten.mul.Tensor, as_positions(module.graph, both), masked)


def _stacked(module: GraphModule, windows: object, group: int) -> Node:
    """Return windows (1, in, a, b) as rows, once a head of a group of G: (1, 1, G · M, in)."""
    assert isinstance(windows, Node)
    product = _product(module, windows)
    if product is None:
        rows = as_positions(module.graph, windows)
        return rows if group == 1 else call(module.graph, aten.cat.default, [rows] * group, 2)
    factor = constant(module, product.args[0])
    assert factor is not None
    repeated = add_constant(module, f"{product.name}_heads", factor.repeat(1, 1, group, 1))
    return call(module.graph, aten.matmul.default, repeated, product.args[1])


def _product(module: GraphModule, windows: Node) -> Node | None:
    """Return the product of a constant and positions (1, 1, N, in) that a map of windows is."""
    steps: object = windows
    for kinds in ((aten.permute.default,), RESHAPES):
        if not is_call(steps, *kinds):
            return None
        steps = steps.args[0]
    product = is_call(steps, aten.matmul.default) and constant(module, steps.args[0]) is not None
    return steps if product and isinstance(steps, Node) else None


def _constants(module: GraphModule, projection: Node) -> tuple[Tensor, Tensor]:
    """Return a convolution's weight and bias."""
    weight, bias = (constant(module, argument(projection, place)) for place in (1, 2))
    assert weight is not None
    return weight, weight.new_zeros(len(weight)) if bias is None else bias


def _mask(heads: int, group: int, keys: int, channels: int) -> Tensor:
    """Return (group · keys, channels): one where a row's head is the channel's in its group, else
    zero."""
    rows = torch.arange(group * keys)[:, None] // keys
    return (rows == torch.arange(channels)[None] // (channels // heads) % group).double()


def _same(heads: int, keys: int) -> Tensor:
    """Return (1, 1, heads · keys, heads · keys): one where both belong to the same head."""
    head = torch.arange(heads * keys) // keys
    return (head[:, None] == head[None]).double()[None, None]


def _site(node: Node) -> _Site | MatchFailure:
    """Read reshape(matmul(v, relu(matmul(k, q)) ÷ (sum + ε)))."""
    product = node.args[0]
    assert isinstance(product, Node)
    value, division = product.args
    assert isinstance(division, Node)
    relu, bounded = division.args
    assert isinstance(relu, Node)
    if not is_call(relu.args[0], aten.matmul.default):
        return MatchFailure("the scores are no plain product")
    eps = _eps(bounded, relu)
    if eps is None:
        return MatchFailure("the divisor is not the column sum of the same scores plus a constant")
    key, query = relu.args[0].args
    if not is_last_two_swap(key):
        return MatchFailure("the keys are not transposed")
    assert isinstance(key, Node)
    maps = [_map_before(each) for each in (query, key.args[0], value)]
    if any(each is None for each in maps):
        return MatchFailure("query, key or value is no map whose channels were split into heads")
    channels = {shape_of(each)[1] for each in maps if each is not None}
    if channels != {shape_of(node)[1]} or len(shape_of(node)) != 4:
        return MatchFailure("the heads are not joined to a map of the same channels")
    query, key, value = maps
    if not _pointwise_of_one(key, value):
        return MatchFailure("keys and values are no pointwise convolutions of the same windows")
    return _Site(query, key, value, shape_of(product)[1], eps)  # type: ignore[arg-type]


def _pointwise_of_one(key: object, value: object) -> bool:
    """Whether both are pointwise convolutions, with constants for weights, of the same map."""
    if not (is_call(key, *CONVOLUTIONS) and is_call(value, *CONVOLUTIONS)):
        return False
    module = key.graph.owning_module
    assert module is not None
    plain = all(
        computed_weight(module, each) is None
        and shape_of(argument(each, 1))[1:] == (shape_of(argument(each, 0))[1], 1, 1)
        and shape_of(each)[2:] == shape_of(argument(each, 0))[2:]
        for each in (key, value)
    )
    return plain and key.args[0] is value.args[0]


def _map_before(node: object) -> Node | None:
    """Return the map (1, C, H, W) that `node` (1, heads, d, H·W) was reshaped from."""
    if not is_call(node, *RESHAPES):
        return None
    source = node.args[0]
    assert isinstance(source, Node)
    split, whole = shape_of(node), shape_of(source)
    if len(split) != 4 or len(whole) != 4 or split[0] != 1 or whole[0] != 1:
        return None
    joined = split[1] * split[2] == whole[1] and split[3] == whole[2] * whole[3]
    return source if joined else None


def _eps(bounded: object, relu: Node) -> float | None:
    """Return ε of sum(relu, axis -2, kept) + ε."""
    if not is_call(bounded, aten.add.Tensor) or bounded.kwargs:
        return None
    total, eps = bounded.args
    if not is_call(total, aten.sum.dim_IntList) or total.args[0] is not relu:
        return None
    kept = bool(argument(total, 2, False)) and [int(a) % 4 for a in argument(total, 1)] == [2]
    return float(eps) if kept and isinstance(eps, int | float) else None
