"""fold_attention_scale: into the weights of the query, wherever the factor stands."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit_export.rewrites.fold_attention_scale import FoldAttentionScale
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes

REWRITE = FoldAttentionScale()
HEADS, DIM = 2, 4
factors = st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3)


def heads_of(value: Tensor) -> Tensor:
    """(1, heads · d, H, W) -> (1, heads, N, d)."""
    return value.reshape(1, HEADS, DIM, -1).transpose(-2, -1)


def token_heads(value: Tensor) -> Tensor:
    """(1, N, heads · d) -> (1, heads, N, d)."""
    return value.reshape(1, -1, HEADS, DIM).permute(0, 2, 1, 3)


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def attention(forward: Any, **parts: Any) -> Model:
    """A model with a query and a key projection, as convolutions and as linear layers."""
    return Model(
        forward,
        query=nn.Conv2d(3, HEADS * DIM, 1),
        key=nn.Conv2d(3, HEADS * DIM, 1, bias=False),
        query_linear=nn.Linear(3, HEADS * DIM, bias=False),
        key_linear=nn.Linear(3, HEADS * DIM),
        **parts,
    )


def keys(m: Any, x: Tensor) -> Tensor:
    return heads_of(m.key(F.avg_pool2d(x, 2))).transpose(-2, -1)


PLACES: dict[str, Any] = {
    "on the scores": lambda m, x, s: heads_of(m.query(x)) @ keys(m, x) * s,
    "on the scores, divided": lambda m, x, s: heads_of(m.query(x)) @ keys(m, x) / (1 / s),
    "on the query's heads": lambda m, x, s: (heads_of(m.query(x)) * s) @ keys(m, x),
    "on the query, divided": lambda m, x, s: (heads_of(m.query(x)) / (1 / s)) @ keys(m, x),
    "on the projection": lambda m, x, s: heads_of(m.query(x) * s) @ keys(m, x),
    "on the key": lambda m, x, s: heads_of(m.query(x)) @ (keys(m, x) * s),
    "between reshape and transpose": lambda m, x, s: (
        (m.query(x).reshape(1, HEADS, DIM, -1) * s).transpose(-2, -1) @ keys(m, x)
    ),
    "on linear heads": lambda m, x, s: (
        token_heads(m.query_linear(tokens(x)))
        @ token_heads(m.key_linear(tokens(x))).transpose(-2, -1)
        * s
    ),
    "on a linear projection": lambda m, x, s: (
        token_heads(m.query_linear(tokens(x)) * s)
        @ token_heads(m.key_linear(tokens(x))).transpose(-2, -1)
    ),
    "where only the key has a projection": lambda m, x, s: (
        heads_of(torch.cat([x, x, x[:, :2]], 1)) @ keys(m, x) * s
    ),
}


@pytest.mark.parametrize("place", PLACES)
@settings(some_shapes, max_examples=5)
@given(factor=factors)
def test_the_factor_moves_into_a_projection(place: str, factor: float) -> None:
    model = attention(lambda m, x: PLACES[place](m, x, factor))
    graph, record = rewritten(REWRITE, model, (4, 6))
    assert record.applied == 1 and not {"mul", "div"} & {*operations(graph)}


@some_shapes
@given(st.floats(1e-2, 1e2), st.floats(-2, 0), st.floats(0, 2))
def test_a_positive_factor_scales_the_bounds_that_it_passes(
    factor: float, low: float, high: float
) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return heads_of(m.query(x).clamp(low, high)) @ keys(m, x) * factor

    graph, record = rewritten(REWRITE, attention(forward), (4, 6))
    assert record.applied == 1 and "mul" not in operations(graph)
    assert nodes(graph, "clamp")[0].args[1:] == (low * factor, high * factor)


@pytest.mark.parametrize(
    "between",
    [
        F.relu,
        lambda q: q.clamp(min=-0.5),
        lambda q: q.clamp(max=0.5),
        lambda q: q.clamp(-1, 1),
        F.hardtanh,
        lambda q: F.hardtanh(q, -0.5, 2),
        lambda q: F.relu(q).clamp(max=1).reshape(1, HEADS * DIM, -1),
    ],
)
@pytest.mark.parametrize("factor", [0.25, -0.25])
def test_bounds_and_relu_are_passed_by_positive_factors_alone(between: Any, factor: float) -> None:
    model = attention(lambda m, x: heads_of(between(m.query(x))) @ keys(m, x) * factor)
    if factor > 0:
        graph, record = rewritten(REWRITE, model, (4, 6))
        assert record.applied == 1 and "mul" not in operations(graph)
    else:
        reason = "a negative factor does not commute with a clamp or ReLU"
        assert match_failures(REWRITE, model, (4, 6)) == [reason]


def test_a_projections_other_weights_stay_shared() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return (heads_of(m.query(x)) @ keys(m, x) * 0.5).sum() + m.query(x * 2)

    _, record = rewritten(REWRITE, attention(forward), (4, 6))
    assert record.applied == 1


def two_factors(m: Any, x: Tensor) -> Tensor:
    return (heads_of(m.query(x)) * 3) @ keys(m, x) * 0.5


def test_two_factors_are_both_folded() -> None:
    graph, record = rewritten(REWRITE, attention(two_factors), (4, 6))
    assert record.applied == 2 and "mul" not in operations(graph)


def scores_read(m: Any, x: Tensor) -> Tensor:
    scores = heads_of(m.query(x)) @ keys(m, x)
    return scores * 0.5 + scores.sum()


def query_and_key_read_elsewhere(m: Any, x: Tensor) -> Tensor:
    query, key = m.query(x), m.key(F.avg_pool2d(x, 2))
    scores = heads_of(query) @ heads_of(key).transpose(-2, -1) * 0.5
    return scores + query.view(-1)[0] + key.sum()


def query_read_through_a_view(m: Any, x: Tensor) -> Tensor:
    query, key = heads_of(m.query(x)), heads_of(m.query(x * 2))
    flat = query.reshape(1, -1)
    return (query @ key.transpose(-2, -1) * 0.5) + flat.sum() + key.sum()


def one_value(m: Any, x: Tensor) -> Tensor:
    query = m.query(x).reshape(1, HEADS, DIM, DIM)
    return query @ query * 0.5


def one_projection(m: Any, x: Tensor) -> Tensor:
    query = heads_of(m.query(x))
    return query @ query.transpose(-2, -1) * 0.5


def computed_weight(m: Any, x: Tensor) -> Tensor:
    query = F.conv2d(x, m.query.weight * x.mean())
    return heads_of(query) @ heads_of(torch.tanh(m.key(x))).transpose(-2, -1) * 0.5


def computed_bias(m: Any, x: Tensor) -> Tensor:
    query = F.conv2d(x, m.query.weight, m.query.bias * x.mean())
    return heads_of(query) @ heads_of(torch.tanh(m.key(x))).transpose(-2, -1) * 0.5


NO_PROJECTION = "the query comes from no projection of its own"
REFUSED = {
    "scores read": (scores_read, "the scores have another reader"),
    "query and key read": (query_and_key_read_elsewhere, NO_PROJECTION),
    "read through a view": (query_read_through_a_view, NO_PROJECTION),
    "one value twice": (one_value, "query and key are the same value"),
    "one projection for both": (one_projection, NO_PROJECTION),
    "nothing projected": (
        lambda m, x: heads_of(torch.tanh(m.query(x))) @ torch.tanh(keys(m, x)) * 0.5,
        NO_PROJECTION,
    ),
    "computed weight": (
        computed_weight,
        "the query projection's weight is computed, not constant",
    ),
    "computed bias": (computed_bias, "the query projection's bias is computed, not constant"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_match_failure_has_its_reason(case: str) -> None:
    forward, reason = REFUSED[case]
    size = (2, 2) if case == "one value twice" else (4, 6)
    assert match_failures(REWRITE, attention(forward), size) == [reason]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1, 1)])
@pytest.mark.parametrize(
    "scaled",
    [lambda a, s: a * s, lambda a, s: s * a, lambda a, s: a / s],
    ids=["after", "before", "divided"],
)
def test_a_factor_that_a_tensor_holds_is_folded(scaled: Any, shape: tuple[int, ...]) -> None:
    model = attention(
        lambda m, x: scaled(heads_of(m.query(x)) @ keys(m, x), m.scale),
        scale=torch.full(shape, 0.125),
    )
    graph, record = rewritten(REWRITE, model, (4, 6))
    assert record.applied == 1 and not {"mul", "div"} & {*operations(graph)}


UNREPORTED = {
    "a factor of another value": lambda m, x: m.query(x) * 0.5,
    "a factor that is a tensor": lambda m, x: heads_of(m.query(x)) @ keys(m, x) * x.mean(),
    "a factor of zero": lambda m, x: heads_of(m.query(x)) @ keys(m, x) * 0.0 + 1,
    "a factor a head": lambda m, x: heads_of(m.query(x)) @ keys(m, x) * m.each,
    "one over the scores": lambda m, x: m.scale / (heads_of(m.query(x)) @ keys(m, x)),
    "a factor of a higher rank": lambda m, x: heads_of(m.query(x)) @ keys(m, x) * m.deep,
    "a sum": lambda m, x: heads_of(m.query(x)) @ keys(m, x) + 0.5,
    "softmax's own": lambda m, x: F.scaled_dot_product_attention(
        heads_of(m.query(x)), keys(m, x).mT, keys(m, x).mT, scale=0.5
    ),
    "read by more than products": lambda m, x: (
        (query := m.query(x) * 0.5).sum() + heads_of(query) @ keys(m, x)
    ),
}


@pytest.mark.parametrize("case", UNREPORTED)
def test_other_factors_are_not_reported(case: str) -> None:
    parts = {
        "each": torch.ones(HEADS, 1, 1),
        "scale": torch.tensor(0.5),
        "deep": torch.ones([1] * 5),
    }
    assert match_failures(REWRITE, attention(UNREPORTED[case], **parts), (4, 6)) == []
