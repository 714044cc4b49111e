"""Fast Window Attention against its formula, element by element in float64."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lolvit.models.lolvit import (
    FastWindowAttention,
    FusionBlock,
    aggregate_windows,
    relu_attention,
    window_size,
)

MAPS = [(1, 1), (2, 2), (4, 4), (8, 8), (7, 7), (6, 10), (5, 13), (1, 9), (11, 2)]


def randomised(module: nn.Module) -> nn.Module:
    """Return the module in float64 and eval mode, with BatchNorms that are no identity."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight.data, part.bias.data, part.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator, dtype=values.dtype))
            part.running_var.uniform_(0.5, 2, generator=generator)
    return module


def window_means(x: Tensor) -> Tensor:
    """Average each window of x (B, C, H, W) by slicing it out."""
    height, width = x.shape[-2:]
    tall, wide = window_size(height), window_size(width)
    rows = [
        torch.stack(
            [x[..., i : i + tall, j : j + wide].mean((-2, -1)) for j in range(0, width, wide)], -1
        )
        for i in range(0, height, tall)
    ]
    return torch.stack(rows, -2)


def attention_by_loops(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """ReLU attention of one head, (N, d) and (M, d): one score, one weight, one sum at a time."""
    result = torch.zeros_like(query)
    for n, q in enumerate(query.tolist()):
        scores = [math.fsum(a * b for a, b in zip(q, k, strict=True)) for k in key.tolist()]
        weights = [max(0.0, score / math.sqrt(len(q))) for score in scores]
        total = math.fsum(weights) + len(weights)
        for c in range(value.shape[1]):
            column = value[:, c].tolist()
            result[n, c] = math.fsum(w / total * v for w, v in zip(weights, column, strict=True))
    return result


@given(st.integers(1, 10_000))
def test_a_window_is_the_whole_number_nearest_to_the_root(length: int) -> None:
    window = window_size(length)
    assert isinstance(window, int) and window >= 1
    half = Fraction(1, 2)
    assert (window - half) ** 2 < length < (window + half) ** 2


@pytest.mark.parametrize(
    ("side", "keys"), [(32, 36), (16, 16), (8, 9), (64, 64), (28, 36), (14, 16), (7, 9), (1, 1)]
)
def test_a_square_map_has_as_many_keys_as_the_documentation_says(side: int, keys: int) -> None:
    assert aggregate_windows(torch.zeros(1, 1, side, side)).flatten().numel() == keys


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_map_has_about_as_many_keys_as_the_root_of_its_positions(height: int, width: int) -> None:
    windows = aggregate_windows(torch.zeros(1, 1, height, width))
    for extent, count in zip((height, width), windows.shape[-2:], strict=True):
        assert math.sqrt(extent) / 2 <= count <= math.sqrt(extent) * 2


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_each_window_is_averaged_over_what_the_border_leaves_of_it(
    height: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(aggregate_windows(x), window_means(x), rtol=1e-12, atol=1e-14)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_relu_attention_equals_its_formula(queries: int, keys: int, dim: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, 2, queries, dim), (2, 2, keys, dim), (2, 2, keys, dim))
    q, k, v = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    result = relu_attention(q, k, v)
    for batch in range(2):
        for head in range(2):
            expected = attention_by_loops(q[batch, head], k[batch, head], v[batch, head])
            torch.testing.assert_close(result[batch, head], expected, rtol=1e-12, atol=1e-13)


@given(st.floats(1e-3, 1e6), st.integers(0, 2**32 - 1))
def test_attention_never_exceeds_the_largest_value(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(1, 2, 5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    result = relu_attention(q * scale, k * scale, v)
    assert float(result.abs().max()) <= float(v.abs().max())


def test_queries_that_no_key_answers_get_zeros() -> None:
    query, key = torch.full((1, 1, 3, 2), 2.0), torch.full((1, 1, 4, 2), -1.0)
    result = relu_attention(query, key, torch.ones(1, 1, 4, 2))
    assert torch.equal(result, torch.zeros(1, 1, 3, 2))


@pytest.mark.parametrize("size", MAPS, ids=str)
def test_the_layer_equals_its_formula(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    heads, dim = 2, 4
    layer = randomised(FastWindowAttention(8, heads, dim))
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    with torch.no_grad():
        result = layer(x)
        query = layer.query(x).flatten(2)  # (B, heads * d, N)
        key, value = layer.key_value(window_means(x)).flatten(2).split(heads * dim, dim=1)
    for batch in range(2):
        for head in range(heads):
            rows = slice(head * dim, (head + 1) * dim)
            q, k, v = (t[batch, rows].T for t in (query, key, value))
            got = result[batch, rows].flatten(1).T
            torch.testing.assert_close(got, attention_by_loops(q, k, v), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("size", [(8, 8), (7, 12)], ids=str)
def test_attention_is_global(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = randomised(FastWindowAttention(8, 2, 4))
    x = torch.randn(1, 8, *size, dtype=torch.float64, requires_grad=True)
    layer(x)[..., 0, 0].sum().backward()
    assert bool((x.grad.abs().sum(1) > 0).all())


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12))
def test_a_fusion_block_keeps_every_shape(height: int, width: int) -> None:
    block = FusionBlock(32, expansion=1, heads=1, head_dim=32).eval()
    with torch.no_grad():
        assert block(torch.zeros(1, 32, height, width)).shape == (1, 32, height, width)
