"""avg_pool_to_depthwise_conv and join_pointwise_convs: what is quantized for a CPU has them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.models import create_model
from lolvit.models.lolvit import FastWindowAttention
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import capture
from lolvit_export.rewrites import INTEGER_REWRITES, STATIC_REWRITE, apply_all
from lolvit_export.rewrites.avg_pool_to_depthwise_conv import AvgPoolToDepthwiseConv
from lolvit_export.rewrites.graph import constant
from lolvit_export.rewrites.join_pointwise_convs import JoinPointwiseConvs
from tests.export.rewriting import (
    BOUND,
    Model,
    image_like,
    match_failures,
    nodes,
    operations,
    relative_error,
    rewritten,
    some_shapes,
)
from tests.lived_in import lived_in

POOL, JOIN = AvgPoolToDepthwiseConv(), JoinPointwiseConvs()
sides = st.integers(1, 5)


@some_shapes
@given(sides, sides, sides, sides, st.integers(1, 4))
def test_exact_pools_of_any_windows_are_depthwise_convolutions(
    rows: int, columns: int, tall: int, wide: int, channels: int
) -> None:
    model = Model(lambda m, x: F.avg_pool2d(x, (tall, wide)).relu())
    size = (rows * tall, columns * wide)
    graph, record = rewritten(POOL, model, size, channels)
    if (rows, columns) == (1, 1):  # of one position too
        assert record.match_failures == ("avg_pool2d: its window is the whole map: a mean",)
        return
    if (tall, wide) == (1, 1):
        assert operations(graph) == ["relu"]
        return
    assert operations(graph) == ["conv2d", "relu"]
    weight = constant(graph, nodes(graph, "conv2d")[0].args[1])
    assert weight is not None and weight.shape == (channels, 1, tall, wide)
    assert len(weight.unique()) == 1


@pytest.mark.parametrize(
    ("options", "size", "reason"),
    [
        ({"kernel_size": 3, "stride": 2}, (9, 9), "its windows are not exact"),
        ({"kernel_size": 2, "padding": 1}, (8, 8), "its windows are not exact"),
        ({"kernel_size": 3, "ceil_mode": True}, (8, 8), "its windows are not exact"),
        ({"kernel_size": 8}, (8, 8), "its window is the whole map: a mean"),
    ],
    ids=str,
)
def test_other_pools_stay(options: dict[str, Any], size: tuple[int, int], reason: str) -> None:
    model = Model(lambda m, x: F.avg_pool2d(x, **options))
    assert match_failures(POOL, model, size) == [reason]


def test_a_map_without_batch_is_pooled_as_it_was() -> None:
    model = Model(lambda m, x: F.avg_pool2d(x[0], 4))
    assert match_failures(POOL, model) == ["its map has no batch"]


def heads_of(convolutions: int, heads: int, width: int, **options: Any) -> Model:
    """Pointwise convolutions of one map, each split into heads and used in its own way."""

    def forward(m: Any, x: Tensor) -> Tensor:
        x = x.relu()
        split = [
            getattr(m, f"conv{i}")(x).reshape(1, heads, width, -1) for i in range(convolutions)
        ]
        return sum((part * (i + 1) for i, part in enumerate(split)), torch.zeros(1).double())

    parts = {
        f"conv{i}": nn.Conv2d(3, heads * width, **{"kernel_size": 1} | options)
        for i in range(convolutions)
    }
    return Model(forward, **parts)


@some_shapes
@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 4), st.booleans(), sides, sides)
def test_any_number_of_pointwise_convolutions_of_one_map_are_one(
    count: int, heads: int, width: int, bias: bool, height: int, columns: int
) -> None:
    graph, record = rewritten(JOIN, heads_of(count, heads, width, bias=bias), (height, columns))
    found = Counter(operations(graph))
    assert record.applied == 1 and record.match_failures == ()
    assert (found["conv2d"], found["slice"]) == (1, count)
    assert sum(found[name] for name in ("reshape", "view")) == 1


@pytest.mark.parametrize(
    "model",
    [
        heads_of(1, 2, 2),
        heads_of(2, 2, 2, kernel_size=3, padding=1),
        heads_of(2, 3, 1, groups=3),
        heads_of(2, 2, 2, stride=2),
        Model(lambda m, x: m.a(x) + m.b(x), a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 4, 1)),
        Model(
            lambda m, x: m.a(x).reshape(1, 2, 2, -1) + m.b(-x).reshape(1, 2, 2, -1),
            a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 4, 1),
        ),
        Model(
            lambda m, x: m.a(x).reshape(1, 2, 2, -1).sum() + m.b(x).reshape(1, 4, 1, -1).sum(),
            a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(3, 4, 1),
        ),
    ],
    ids=["one", "3x3", "grouped", "strided", "whole", "of two maps", "of two widths"],
)  # fmt: skip
def test_other_convolutions_stay(model: Model) -> None:
    assert match_failures(JOIN, model) == []


def test_convolutions_with_and_without_bias_stay_apart() -> None:
    model = Model(
        lambda m, x: m.a(x).reshape(1, 2, 2, -1) + m.b(x).reshape(1, 2, 2, -1),
        a=nn.Conv2d(3, 4, 1, bias=False),
        b=nn.Conv2d(3, 4, 1),
    )
    assert match_failures(JOIN, model) == ["only some of the convolutions have a bias"]


def test_computed_weights_stay_apart() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        computed = F.conv2d(x, m.weight.exp(), m.a.bias)
        return computed.reshape(1, 2, 2, -1) + m.a(x).reshape(1, 2, 2, -1)

    model = Model(forward, a=nn.Conv2d(3, 4, 1), weight=torch.ones(4, 3, 1, 1))
    reason = "a convolution's weight or bias is computed, not constant"
    assert match_failures(JOIN, model) == [reason]


@pytest.mark.parametrize("size", [(64, 64), (96, 224)], ids=str)
def test_lolvit_gives_what_it_gave(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = lived_in(create_model("lolvit_xx").double())
    before = capture(reparameterize(model), size)
    after, records = apply_all((*STATIC_REWRITE, *INTEGER_REWRITES), before)
    image = image_like(before)
    with torch.no_grad():
        assert relative_error(after(image), model(image)) <= BOUND
    blocks = sum(isinstance(module, FastWindowAttention) for module in model.modules())
    applied = {record.name: record.applied for record in records}
    assert applied[POOL.name] == applied[JOIN.name] == blocks
    assert "avg_pool2d" not in operations(after)
