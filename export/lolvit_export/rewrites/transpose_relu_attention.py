"""Compute ReLU attention with the positions on the last axis, where convolutions leave them.

    q (N, d) ── q·kᵀ ── ReLU ── ÷ (row sum + ε) ── ·v ── (N, d)
becomes
    k (M, d)·qᵀ (d, N) ── ReLU ── ÷ (column sum + ε) ── vᵀ (d, M)· ── (d, N) ── transpose

Every transpose is explicit. A projection's output (heads, d, N) is read as it is and so is the
result, so only the few keys are transposed; the two swaps around the old form cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import (
    argument,
    aten,
    call,
    constant,
    is_call,
    shape_of,
    swapped,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite


@dataclass(frozen=True)
class _Site:
    query: Node  # (1, heads, N, d)
    key_transposed: Node  # (1, heads, d, M)
    value: Node  # (1, heads, M, d)
    eps: float


class TransposeReluAttention(Rewrite):
    """Requires the scale folded, so that ReLU follows the product."""

    name = "transpose_relu_attention"
    ensures = "ReLU attention is rank-4 matmuls, batch 1, with explicit transposes"

    def matches(self, node: Node) -> bool:
        if not is_call(node, aten.matmul.default) or not is_call(node.args[0], aten.div.Tensor):
            return False
        relu = node.args[0].args[0]
        return is_call(relu, aten.relu.default)

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        site = _site(module, node)
        return site if isinstance(site, MatchFailure) else None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        site = _site(module, node)
        assert isinstance(site, _Site)
        graph = module.graph
        key = swapped(graph, site.key_transposed)  # (1, heads, M, d)
        query = swapped(graph, site.query)  # (1, heads, d, N)
        scores = call(graph, aten.matmul.default, key, query)  # (1, heads, M, N)
        weights = call(graph, aten.relu.default, scores)  # (1, heads, M, N)
        total = call(graph, aten.sum.dim_IntList, weights, [2], True)  # (1, heads, 1, N)
        bounded = call(graph, aten.add.Tensor, total, site.eps)  # (1, heads, 1, N)
        weights = call(graph, aten.div.Tensor, weights, bounded)  # (1, heads, M, N)
        value = swapped(graph, site.value)  # (1, heads, d, M)
        tokens = call(graph, aten.matmul.default, value, weights)  # (1, heads, d, N)
        node.replace_all_uses_with(swapped(graph, tokens))


def _site(module: GraphModule, node: Node) -> _Site | MatchFailure:
    """Read the operands of matmul(div(relu(matmul(q, kᵀ)), sum + ε), v)."""
    division, value = node.args
    assert isinstance(division, Node) and isinstance(value, Node)
    relu, denominator = division.args
    eps = _row_sum_eps(module, relu, denominator)
    if eps is None:
        return MatchFailure("the divisor is not the row sum of the same scores plus a constant")
    assert isinstance(relu, Node)
    scores = relu.args[0]
    if not is_call(scores, aten.matmul.default):
        return MatchFailure("the scores are not a plain product (is the scale folded?)")
    assert isinstance(scores, Node)
    query, key_transposed = scores.args
    assert isinstance(query, Node) and isinstance(key_transposed, Node)
    shapes = [shape_of(operand) for operand in (query, key_transposed, value)]
    if any(len(shape) != 4 or shape[0] != 1 for shape in shapes):
        return MatchFailure(f"operands are not rank 4 with batch 1: {shapes}")
    return _Site(query, key_transposed, value, eps)


def _row_sum_eps(module: GraphModule, relu: object, denominator: object) -> float | None:
    """Return ε if `denominator` is sum(relu, last axis, kept) + ε, in either order."""
    if not is_call(denominator, aten.add.Tensor) or denominator.kwargs:  # kwargs: alpha · ε
        return None
    for total, eps in (denominator.args, reversed(denominator.args)):
        if _is_row_sum(total, relu):
            return _number(module, eps)
    return None


def _is_row_sum(total: object, relu: object) -> bool:
    if not is_call(total, aten.sum.dim_IntList) or total.kwargs:  # kwargs: another dtype
        return False
    axes = [int(axis) for axis in argument(total, 1) or ()]
    last = len(shape_of(total)) - 1
    keeps = bool(argument(total, 2, False))
    return total.args[0] is relu and keeps and axes in ([-1], [last])


def _number(module: GraphModule, value: object) -> float | None:
    """Return a number, or the one that a constant tensor of a single element holds."""
    if isinstance(value, int | float):
        return float(value)
    held = constant(module, value)
    return float(held) if held is not None and held.numel() == 1 else None
