"""transpose_relu_attention: ReLU attention, positions last, equals the formula it replaces."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit_export.rewrites import apply
from lolvit_export.rewrites.cancel_transposes import CancelTransposes
from lolvit_export.rewrites.transpose_relu_attention import TransposeReluAttention
from tests.export.rewriting import Model, match_failures, nodes, rewritten, some_shapes

REWRITE = TransposeReluAttention()
small, eps_values = st.integers(1, 6), st.floats(1e-3, 100)
HEADS, DIM = 2, 4


def bounded(scores: Tensor, eps: Any = 1.0) -> Tensor:
    """ReLU, each row divided by its sum plus `eps`."""
    weights = torch.relu(scores)
    return weights / (weights.sum(-1, keepdim=True) + eps)


def qkv(m: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value (1, heads, N or M, d) from three convolutions."""
    keys = F.avg_pool2d(x, 2, ceil_mode=True)
    shaped = [
        project(part).reshape(1, HEADS, DIM, -1).transpose(-2, -1)
        for project, part in ((m.query, x), (m.key, keys), (m.value, keys))
    ]
    return shaped[0], shaped[1], shaped[2]


def attention(forward: Any, **parts: Any) -> Model:
    projections = {name: nn.Conv2d(3, HEADS * DIM, 1) for name in ("query", "key", "value")}
    return Model(lambda m, x: forward(m, *qkv(m, x)), **projections, **parts)


@some_shapes
@given(small, small, small, small, st.integers(1, 3), eps_values)
def test_any_shape_of_attention_is_equal(
    queries: int, keys: int, dim: int, value_dim: int, heads: int, eps: float
) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return bounded((x + m.query) @ (x.sum() * m.key).transpose(-2, -1), eps) @ m.value

    generator = torch.Generator().manual_seed(queries)
    shapes = {
        "query": (1, heads, queries, dim),
        "key": (1, heads, keys, dim),
        "value": (1, heads, keys, value_dim),
    }
    parts = {n: torch.randn(s, generator=generator).double() for n, s in shapes.items()}
    model = Model(forward, **parts)
    graph, record = rewritten(REWRITE, model, (1, 1), in_chans=1)
    assert record.applied == 1
    assert [node.args[1] for node in nodes(graph, "sum") if len(node.args) > 1] == [[2]]


FORMS = {
    "plain": lambda m, q, k, v: bounded(q @ k.transpose(-2, -1)) @ v,
    "key permuted": lambda m, q, k, v: bounded(q @ k.permute(0, 1, 3, 2)) @ v,
    "functional relu": lambda m, q, k, v: (
        (w := F.relu(q @ k.mT)) / (w.sum(dim=(-1,), keepdim=True) + 1) @ v
    ),
    "axis counted from the front": lambda m, q, k, v: (
        (w := F.relu(q @ k.mT)) / (w.sum(3, True) + 2) @ v
    ),
    "epsilon first": lambda m, q, k, v: (w := F.relu(q @ k.mT)) / (0.5 + w.sum(-1, True)) @ v,
    "epsilon in a tensor": lambda m, q, k, v: bounded(q @ k.mT, m.eps) @ v,
    "epsilon in a tensor, first": lambda m, q, k, v: (
        (w := F.relu(q @ k.mT)) / (m.eps + w.sum(-1, True)) @ v
    ),
    "result swapped back": lambda m, q, k, v: (bounded(q @ k.mT) @ v).mT,
    "weights read too": lambda m, q, k, v: ((w := bounded(q @ k.mT)) @ v).sum() + w,
    "one key head for all": lambda m, q, k, v: bounded(q @ k[:, :1].mT) @ v[:, :1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)], ids=str)
def test_each_way_to_write_it_is_rewritten(form: str, size: tuple[int, int]) -> None:
    _, record = rewritten(REWRITE, attention(FORMS[form], eps=torch.tensor([0.25])), size)
    assert record.applied == 1 and record.match_failures == ()


def test_only_the_keys_are_transposed_in_the_end() -> None:
    def forward(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (bounded(q @ k.transpose(-2, -1)) @ v).transpose(-2, -1).reshape(1, HEADS * DIM, -1)

    graph, _ = rewritten(REWRITE, attention(forward), (4, 6))
    graph, _ = apply(CancelTransposes(), graph)
    assert len(nodes(graph, "transpose") + nodes(graph, "permute")) == 1
    first, second = nodes(graph, "matmul")
    assert tuple(first.meta["val"].shape) == (1, HEADS, 6, 24)
    assert tuple(second.meta["val"].shape) == (1, HEADS, DIM, 24)


NO_ROW_SUM = "the divisor is not the row sum of the same scores plus a constant"
NO_PRODUCT = "the scores are not a plain product (is the scale folded?)"
REFUSED = {
    "scale not folded": (lambda m, q, k, v: bounded(q @ k.mT * 0.5) @ v, NO_PRODUCT),
    "a bias on the scores": (lambda m, q, k, v: bounded(q @ k.mT + 1) @ v, NO_PRODUCT),
    "a clamped sum": (
        lambda m, q, k, v: (w := F.relu(q @ k.mT)) / w.sum(-1, True).clamp(min=1.0) @ v,
        NO_ROW_SUM,
    ),
    "the number of keys": (lambda m, q, k, v: F.relu(q @ k.mT) / 4.0 @ v, NO_ROW_SUM),
    "the sum of another axis": (
        lambda m, q, k, v: (w := F.relu(q @ k.mT)) / (w.sum(-2, True) + 1) @ v,
        NO_ROW_SUM,
    ),
    "the sum of all": (
        lambda m, q, k, v: (w := F.relu(q @ k.mT)) / (w.sum() + 1) @ v,
        NO_ROW_SUM,
    ),
    "the sum of two axes": (
        lambda m, q, k, v: (w := F.relu(q @ k.mT)) / (w.sum((-1, -2), True) + 1) @ v,
        NO_ROW_SUM,
    ),
    "the sum of other scores": (
        lambda m, q, k, v: F.relu(q @ k.mT) / (F.relu(k @ q.mT).mT.sum(-1, True) + 1) @ v,
        NO_ROW_SUM,
    ),
    "the sum in another type": (
        lambda m, q, k, v: (w := F.relu(q @ k.mT))
        / (w.sum(-1, True, dtype=torch.float64) + 1)
        @ v,
        NO_ROW_SUM,
    ),
    "epsilon with a factor": (
        lambda m, q, k, v: (w := F.relu(q @ k.mT)) / torch.add(w.sum(-1, True), 1, alpha=3) @ v,
        NO_ROW_SUM,
    ),
    "an epsilon a head": (
        lambda m, q, k, v: bounded(q @ k.mT, m.each) @ v,
        NO_ROW_SUM,
    ),
    "an epsilon that is computed": (
        lambda m, q, k, v: bounded(q @ k.mT, v.exp().mean()) @ v,
        NO_ROW_SUM,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_match_failure_has_its_reason(case: str) -> None:
    forward, reason = REFUSED[case]
    model = attention(forward, each=torch.ones(HEADS, 1, 1))
    assert match_failures(REWRITE, model, (4, 6)) == [reason]


def test_heads_joined_into_the_batch_are_left_alone() -> None:
    def forward(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return bounded(q[0] @ k[0].mT) @ v[0]

    [reason] = match_failures(REWRITE, attention(forward), (4, 6))
    assert reason.startswith("operands are not rank 4 with batch 1: [(2, 24, 4), (2, 4, 6)")


UNREPORTED = {
    "softmax": lambda m, q, k, v: torch.softmax(q @ k.mT, -1) @ v,
    "fused": lambda m, q, k, v: F.scaled_dot_product_attention(q, k, v),
    "not normalised": lambda m, q, k, v: F.relu(q @ k.mT) @ v,
    "another activation": lambda m, q, k, v: (w := F.relu6(q @ k.mT)) / (w.sum(-1, True) + 1) @ v,
    "no product after it": lambda m, q, k, v: bounded(q @ k.mT),
}


@pytest.mark.parametrize("case", UNREPORTED)
def test_other_attention_is_not_reported(case: str) -> None:
    assert match_failures(REWRITE, attention(UNREPORTED[case]), (4, 6)) == []
