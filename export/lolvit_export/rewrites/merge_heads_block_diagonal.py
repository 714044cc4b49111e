"""Compute the heads of ReLU attention in one product each, masked, instead of side by side.

    for each head: vᵀ (d, M) · A (M, N),  A = ReLU(k (M, d)·q (d, N)) ÷ (column sum + ε)
becomes, with positions as rows and C = heads · d channels,
    [K V] = (W [X … X]) ∘ mask                    (heads · M, 2 · C)
    S = ReLU(Q (N, C) · Kᵀ)                       (N, heads · M)
    Y = S ÷ (S·B + ε) · V                         (N, C)

[X … X] stacks the windows (M, in) once a head; W are the pointwise convolutions of keys and
values, joined. The mask keeps of each copy the channels of its head, so that a row meets its own
head alone. B (heads · M, heads · M) is one where both belong to the same head: S·B is each head's
sum, as often as it divides. There are more multiply-adds and hardly a change of layout:
Qualcomm's HTP multiplies faster than it transposes or joins.

Where the windows are a product with a constant (avg_pool_to_matmul), that is stacked instead
of them. The queries stay a map (1, H, W, C): each of its rows is multiplied with the same keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

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
    ensures = "ReLU attention splits no channels into heads"

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
        query = call(graph, aten.permute.default, site.query, _CHANNELS_LAST)  # (1, H, W, C)
        both = _keys_and_values(module, site, keys)  # (1, 1, heads · M, 2 · C)
        key = call(graph, aten.slice.Tensor, both, 3, 0, channels)  # (1, 1, heads · M, C)
        value = call(graph, aten.slice.Tensor, both, 3, channels, 2 * channels)
        scores = call(graph, aten.matmul.default, query, swapped(graph, key))
        scores = call(graph, aten.relu.default, scores)  # (1, H, W, heads · M)
        same = _same(site.heads, keys).to(node.meta["val"].dtype)
        same_head = add_constant(module, f"{node.name}_same", same)
        total = call(graph, aten.matmul.default, scores, same_head)  # (1, H, W, heads · M)
        bounded = call(graph, aten.add.Tensor, total, site.eps)
        weights = call(graph, aten.div.Tensor, scores, bounded)  # (1, H, W, heads · M)
        tokens = call(graph, aten.matmul.default, weights, value)  # (1, H, W, C)
        node.replace_all_uses_with(call(graph, aten.permute.default, tokens, _CHANNELS_FIRST))


def _keys_and_values(module: GraphModule, site: _Site, keys: int) -> Node:
    """Return the keys and behind them the values, once a head, masked: (1, 1, heads · M, 2 · C)."""
    stacked = _stacked(module, site.key.args[0], site.heads)  # (1, 1, heads · M, in)
    windows = as_map(module.graph, stacked, (1, site.heads * keys))  # (1, in, 1, heads · M)
    weights, biases = zip(
        *(_constants(module, each) for each in (site.key, site.value)), strict=True
    )
    both = with_weights(
        module, site.key, site.key.name, torch.cat(weights), torch.cat(biases), source=windows
    )  # (1, 2 · C, 1, heads · M)
    mask = _mask(site.heads, keys, shape_of(site.key)[1]).to(both.meta["val"].dtype)
    masked = add_constant(module, f"{site.key.name}_heads", mask.repeat(1, 2)[None, None])
    return call(module.graph, aten.mul.Tensor, as_positions(module.graph, both), masked)


def _stacked(module: GraphModule, windows: object, heads: int) -> Node:
    """Return windows (1, in, a, b) as rows, once a head: (1, 1, heads · M, in)."""
    assert isinstance(windows, Node)
    product = _product(module, windows)
    if product is None:
        rows = as_positions(module.graph, windows)
        return call(module.graph, aten.cat.default, [rows] * heads, 2)
    factor = constant(module, product.args[0])
    assert factor is not None
    repeated = add_constant(module, f"{product.name}_heads", factor.repeat(1, 1, heads, 1))
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


def _mask(heads: int, keys: int, channels: int) -> Tensor:
    """Return (heads · keys, channels): one where a row's head is the channel's, else zero."""
    rows = torch.arange(heads * keys)[:, None] // keys
    return (rows == torch.arange(channels)[None] // (channels // heads)).double()


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
