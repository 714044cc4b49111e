"""Fold the constant factor of attention scores into the projection of the query (or of the key).

    x ── project(W, b) ── … ── matmul(·, Kᵀ) ── · s
becomes
    x ── project(s·W, s·b) ── … ── matmul(·, Kᵀ)

Between projection and product there are only reshapes and transposes, which commute with s, and,
if s is positive, ReLU, which does too, and clamps, whose bounds are scaled: s·clamp(x, a, b) is
clamp(s·x, s·a, s·b).
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from lolvit_export.rewrites.graph import (
    PROJECTIONS,
    RESHAPES,
    TRANSPOSES,
    argument,
    aten,
    computed_weight,
    constant,
    is_call,
    shape_of,
    with_weights,
)
from lolvit_export.rewrites.rewrite import MatchFailure, Rewrite

_LAYOUT = (*RESHAPES, *TRANSPOSES)
_CLAMPS = (aten.clamp.default, aten.hardtanh.default)
_FOR_POSITIVE = (aten.relu.default, *_CLAMPS)
_MULTIPLICATIONS = (aten.mul.Tensor, aten.mul.Scalar)
_SCALES = (*_MULTIPLICATIONS, aten.div.Tensor, aten.div.Scalar)
_PRODUCTS = (aten.matmul.default, aten.bmm.default)


class FoldAttentionScale(Rewrite):
    """Requires heads split, so that the query has a projection of its own."""

    name = "fold_attention_scale"
    ensures = "no constant factor on attention scores or on the query before them"

    def matches(self, node: Node) -> bool:
        if not is_call(node, *_SCALES) or _factor(node) is None:
            return False
        source = _scaled(node)
        if shape_of(source) != shape_of(node):  # a constant of a higher rank
            return False
        return _is_scores(source) or (is_call(source, *_LAYOUT, *PROJECTIONS) and _feeds(node))

    def check(self, module: GraphModule, node: Node) -> MatchFailure | None:
        source = _scaled(node)
        if _is_scores(source) and len(source.users) != 1:
            return MatchFailure("the scores have another reader")
        if _is_scores(source) and source.args[0] is source.args[1]:
            return MatchFailure("query and key are the same value")
        chain = _chain(node)
        if chain is None:
            return MatchFailure("the query comes from no projection of its own")
        *between, projection = chain
        computed = computed_weight(module, projection)
        if computed is not None:
            return MatchFailure(f"the query projection's {computed} is computed, not constant")
        if _required_factor(node) < 0 and any(is_call(step, *_FOR_POSITIVE) for step in between):
            return MatchFailure("a negative factor does not commute with a clamp or ReLU")
        return None

    def rewrite(self, module: GraphModule, node: Node) -> None:
        factor, chain = _required_factor(node), _chain(node)
        assert chain is not None
        *between, projection = chain
        weight = constant(module, argument(projection, 1))
        bias = constant(module, argument(projection, 2))
        assert weight is not None
        hint = f"{projection.name}_scaled"
        with module.graph.inserting_before(projection):
            scaled = with_weights(
                module, projection, hint, weight * factor, None if bias is None else bias * factor
            )
        projection.replace_all_uses_with(scaled)
        for step in between:
            if is_call(step, *_CLAMPS):
                _scale_bounds(step, factor)
        node.replace_all_uses_with(_scaled(node))


def _factor(node: Node) -> float | None:
    """Return the number that `node` multiplies by, or None if it is no constant number."""
    value = _number(node, node.args[1])
    if value is not None:
        return 1 / value if not is_call(node, *_MULTIPLICATIONS) else value
    return _number(node, node.args[0]) if is_call(node, *_MULTIPLICATIONS) else None


def _number(node: Node, value: object) -> float | None:
    """Return a factor that is a number, or a constant tensor of one element of the same type."""
    if isinstance(value, Node):
        owner = node.graph.owning_module
        held = None if owner is None else constant(owner, value)
        if held is None or held.numel() != 1 or held.dtype != node.meta["val"].dtype:
            return None
        value = held.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return None
    return float(value)


def _required_factor(node: Node) -> float:
    factor = _factor(node)
    assert factor is not None
    return factor


def _scaled(node: Node) -> Node:
    """Return what `node` multiplies."""
    is_first = _number(node, node.args[1]) is not None
    source = node.args[0] if is_first else node.args[1]
    assert isinstance(source, Node)
    return source


def _is_scores(node: Node) -> bool:
    return is_call(node, *_PRODUCTS) and len(shape_of(node)) == 4


def _feeds(node: Node) -> bool:
    """Tell whether all that reads `node` is products, but for changes of layout before them."""
    return bool(node.users) and all(
        is_call(user, *_PRODUCTS) or (is_call(user, *_LAYOUT) and _feeds(user))
        for user in node.users
    )


def _chain(node: Node) -> list[Node] | None:
    """Return the steps from the scaled value, or from a factor of the scaled scores, back to a
    projection, which is the last; None where somebody else reads a value on the way."""
    source = _scaled(node)
    starts = source.args if _is_scores(source) else (source,)
    return next((chain for start in starts if (chain := _walk(start)) is not None), None)


def _walk(node: object) -> list[Node] | None:
    chain: list[Node] = []
    while is_call(node, *_LAYOUT, *_FOR_POSITIVE) and len(node.users) == 1:
        chain.append(node)
        node = node.args[0]
    if not is_call(node, *PROJECTIONS) or len(node.users) != 1:
        return None
    return [*chain, node]


def _scale_bounds(node: Node, factor: float) -> None:
    low, high = argument(node, 1, -1.0), argument(node, 2, 1.0)
    if is_call(node, aten.clamp.default):  # without defaults: an open end stays open
        low, high = argument(node, 1), argument(node, 2)
    bounds = [None if bound is None else bound * factor for bound in (low, high)]
    node.args, node.kwargs = (node.args[0], *bounds), {}
