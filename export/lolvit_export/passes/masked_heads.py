"""Compute the heads of ReLU attention in one product each, masked, instead of side by side.

    for each head: vᵀ (d, M) · A (M, N),  A = ReLU(k (M, d)·q (d, N)) ÷ (column sum + ε)
becomes, with positions as rows and C = heads · d channels,
    S = ReLU(Q (N, C) · [K … K]ᵀ ∘ mask)          (N, heads · M)
    Y = S ÷ (S·B + ε) · ([V … V] ∘ mask)          (N, C)

[K … K] stacks the keys (M, C) once a head, and the mask (heads · M, C) keeps of each copy the
channels of its head, so that a row meets its own head alone. B (heads · M, heads · M) is one where
both belong to the same head: S·B is each head's sum, as often as it divides. There are more
multiply-adds, and no change of layout: Qualcomm's HTP multiplies faster than it transposes. Its
vendor's estimate of LOLViT-X in half precision for the SA8255P falls from 0.96 to 0.73 ms, for the
SA8797P from 0.52 to 0.36.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lolvit_export.passes.graph import (
    RESHAPES,
    add_constant,
    argument,
    aten,
    call,
    is_call,
    is_last_two_swap,
    shape_of,
    swapped,
)
from lolvit_export.passes.positions_first import as_map, as_positions
from lolvit_export.passes.rewrite import Refusal, Rewrite


@dataclass(frozen=True)
class _Site:
    query: Node  # (1, C, H, W)
    key: Node  # (1, C, a, b)
    value: Node  # (1, C, a, b)
    heads: int
    eps: float


class MaskedHeads(Rewrite):
    """Requires static attention."""

    name = "masked_heads"
    ensures = "ReLU attention splits no channels into heads"

    def matches(self, node: Node) -> bool:
        if not is_call(node, *RESHAPES) or not is_call(node.args[0], aten.matmul.default):
            return False
        division = node.args[0].args[1]
        return is_call(division, aten.div.Tensor) and is_call(division.args[0], aten.relu.default)

    def check(self, module: GraphModule, node: Node) -> Refusal | None:
        site = _site(node)
        return site if isinstance(site, Refusal) else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        site = _site(node)
        assert isinstance(site, _Site)
        graph, (_, channels, *sides) = module.graph, shape_of(node)
        keys = shape_of(site.key)[2] * shape_of(site.key)[3]
        mask = _mask(site.heads, keys, channels).to(node.meta["val"].dtype)  # (heads · M, C)
        masked = add_constant(module, f"{node.name}_heads", mask[None, None])
        query = as_positions(graph, site.query)  # (1, 1, N, C)
        key = _stacked(module, site.key, site.heads, masked)  # (1, 1, heads · M, C)
        scores = call(
            graph, aten.matmul.default, query, swapped(graph, key)
        )  # (1, 1, N, heads · M)
        scores = call(graph, aten.relu.default, scores)
        same = add_constant(module, f"{node.name}_same", _same(site.heads, keys).to(mask.dtype))
        total = call(graph, aten.matmul.default, scores, same)  # (1, 1, N, heads · M)
        bounded = call(graph, aten.add.Tensor, total, site.eps)
        weights = call(graph, aten.div.Tensor, scores, bounded)  # (1, 1, N, heads · M)
        value = _stacked(module, site.value, site.heads, masked)  # (1, 1, heads · M, C)
        tokens = call(graph, aten.matmul.default, weights, value)  # (1, 1, N, C)
        node.replace_all_uses_with(as_map(graph, tokens, sides))


def _stacked(module: GraphModule, source: Node, heads: int, mask: Node) -> Node:
    rows = as_positions(module.graph, source)  # (1, 1, M, C)
    if heads > 1:
        rows = call(module.graph, aten.cat.default, [rows] * heads, 2)  # (1, 1, heads · M, C)
    return call(module.graph, aten.mul.Tensor, rows, mask)


def _mask(heads: int, keys: int, channels: int) -> Tensor:
    """Return (heads · keys, channels): one where a row's head is the channel's, else zero."""
    rows = torch.arange(heads * keys)[:, None] // keys
    return (rows == torch.arange(channels)[None] // (channels // heads)).double()


def _same(heads: int, keys: int) -> Tensor:
    """Return (1, 1, heads · keys, heads · keys): one where both belong to the same head."""
    head = torch.arange(heads * keys) // keys
    return (head[:, None] == head[None]).double()[None, None]


def _site(node: Node) -> _Site | Refusal:
    """Read reshape(matmul(v, relu(matmul(k, q)) ÷ (sum + ε)))."""
    product = node.args[0]
    assert isinstance(product, Node)
    value, division = product.args
    assert isinstance(division, Node)
    relu, bounded = division.args
    assert isinstance(relu, Node)
    if not is_call(relu.args[0], aten.matmul.default):
        return Refusal("the scores are no plain product")
    eps = _eps(bounded, relu)
    if eps is None:
        return Refusal("the divisor is not the column sum of the same scores plus a constant")
    key, query = relu.args[0].args
    if not is_last_two_swap(key):
        return Refusal("the keys are not transposed")
    assert isinstance(key, Node)
    maps = [_map_before(each) for each in (query, key.args[0], value)]
    if any(each is None for each in maps):
        return Refusal("query, key or value is no map whose channels were split into heads")
    channels = {shape_of(each)[1] for each in maps if each is not None}
    if channels != {shape_of(node)[1]} or len(shape_of(node)) != 4:
        return Refusal("the heads are not joined to a map of the same channels")
    query, key, value = maps
    return _Site(query, key, value, shape_of(product)[1], eps)  # type: ignore[arg-type]


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
