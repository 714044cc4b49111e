"""avg_pool_to_matmul and merge_heads_block_diagonal: what HTP needs beyond the static ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lolvit.models.lolvit import FastWindowAttention, aggregate_windows, window_size
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.rewrites import STATIC_REWRITE, apply, apply_all
from lolvit_export.rewrites.avg_pool_to_matmul import AvgPoolToMatmul
from lolvit_export.rewrites.merge_heads_block_diagonal import MergeHeadsBlockDiagonal
from tests.export.rewriting import (
    BOUND,
    Model,
    image_like,
    operations,
    relative_error,
    rewritten,
)


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (14, 7), (2, 19)])
def test_pools_of_window_averages_become_products(size: tuple[int, int]) -> None:
    model = Model(lambda module, x: aggregate_windows(x))
    before, _ = apply_all(STATIC_REWRITE, capture(model, size))
    after, record = apply(AvgPoolToMatmul(), before)
    assert record.applied == 1
    assert not {"avg_pool2d", "constant_pad_nd"} & set(operations(after))
    image = image_like(before)
    with torch.no_grad():
        assert relative_error(after(image), model(image)) <= BOUND


def test_an_exact_pool_without_padding_becomes_a_product() -> None:
    after, record = rewritten(AvgPoolToMatmul(), Model(lambda m, x: F.avg_pool2d(x, 4)))
    assert record.applied == 1 and "matmul" in operations(after)


def test_a_pool_that_overlaps_stays() -> None:
    model = Model(lambda m, x: F.avg_pool2d(x, 3, stride=1))
    _, record = rewritten(AvgPoolToMatmul(), model)
    assert record.applied == 0 and "its windows are not exact" in record.match_failures[0]


def test_a_pool_of_a_large_map_stays() -> None:
    _, record = rewritten(AvgPoolToMatmul(), Model(lambda m, x: F.avg_pool2d(x, 2)), (64, 64))
    assert record.applied == 0 and "too large a product" in record.match_failures[0]


def _attend(module: nn.Module, image: torch.Tensor) -> torch.Tensor:
    return torch.relu(module.attention(image)) + 1.0  # type: ignore[operator]


@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize("size", [(8, 8), (5, 9), (14, 7)])
@pytest.mark.parametrize("products", [True, False])
def test_masked_heads_equal_split_ones(heads: int, size: tuple[int, int], products: bool) -> None:
    model = Model(_attend, attention=FastWindowAttention(3, heads, 4))
    before, _ = apply_all(STATIC_REWRITE, capture(reparameterize(model), size))
    if products:
        before, _ = apply(AvgPoolToMatmul(), before)
    after, record = apply(MergeHeadsBlockDiagonal(), before)
    assert record.applied == 1
    assert "sum" not in operations(after)
    keys = math.prod(-(-side // window_size(side)) for side in size)
    groups = math.ceil(heads / (32 // keys))  # 32 scores are a block of channels
    assert operations(after).count("matmul") == products + 3 * groups
    image = image_like(before)
    with torch.no_grad():
        assert relative_error(after(image), model(image)) <= BOUND


def test_heads_stay_where_keys_see_more_than_one_window() -> None:
    attention = FastWindowAttention(3, 2, 4)
    wide = attention.key_value.conv
    wide.weight = nn.Parameter(torch.randn(16, 3, 3, 3))
    wide.kernel_size, wide.padding = (3, 3), (1, 1)
    model = reparameterize(Model(_attend, attention=attention))
    before, _ = apply_all(STATIC_REWRITE, capture(model, (8, 8)))
    _, record = apply(MergeHeadsBlockDiagonal(), before)
    assert record.applied == 0 and "no pointwise convolutions" in record.match_failures[0]


def test_softmax_attention_is_left_alone() -> None:
    def call(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(1, 1, 3, 64)
        return (rows @ torch.softmax(rows.transpose(-2, -1) @ rows, -1)).reshape(1, 3, 8, 8)

    _, record = rewritten(MergeHeadsBlockDiagonal(), Model(call))
    assert (record.applied, record.match_failures) == (0, ())
