"""Values of six axes, the first of which is a batch of one, and other forms of few axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import lolvit
from lolvit_export.rewrites.drop_batch_axis import DropBatchAxis
from lolvit_export.rewrites.float_scatter_value import FloatScatterValue
from lolvit_export.rewrites.outer_product_to_mul import OuterProductToMul
from lolvit_export.rewrites.permute_before_expand import PermuteBeforeExpand
from lolvit_export.rewrites.vector_matmul_to_sum import VectorMatmulToSum
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten

axes = st.integers(-4, 3)


LONG: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "involution": lambda m, x: (
        x.reshape(1, 3, 1, 2, 4, 8).mul(m.weight.sigmoid() + x.view(1, 3, 2, 4, 8).unsqueeze(2))
    ).sum(3).flatten(1, 2),
    "windows": lambda m, x: (
        x.view(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).softmax(-1).relu()
        .transpose(1, -1).flatten(1, 4) * 2
    ),
    "constants": lambda m, x: (x.view(1, 3, 2, 4, 2, 4) + m.weight).amax((2, 4)),
    "expanded": lambda m, x: (
        x.view(1, 3, 1, 8, 8).unsqueeze(1).expand(1, 2, 3, 2, 8, 8).mean(2).select(2, 1)
    ),
    "products": lambda m, x: (
        x.view(1, 3, 2, 2, 2, 8) @ x.view(1, 3, 2, 2, 8, 2)
    )[:, :, :, 1:].squeeze(3),
    "cosine transform": lambda m, x: F.linear(
        F.linear(x.view(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5), m.weight).transpose(-1, -2),
        m.weight,
    ).reshape(4, 3, 4, 4),
}  # fmt: skip


@pytest.mark.parametrize("function", LONG.values(), ids=LONG)
def test_six_axes_of_one_image_are_five(function: Callable[[Any, Tensor], Tensor]) -> None:
    weight = nn.Parameter(torch.empty(1, 3, 1, 1, 2, 4))
    if function is LONG["involution"]:
        weight = nn.Parameter(torch.empty(1, 3, 1, 2, 1, 8))
    if function is LONG["cosine transform"]:
        weight = nn.Parameter(torch.empty(4, 4))
    graph, record = rewritten(DropBatchAxis(), Model(function, weight=weight))
    assert record.applied and not record.match_failures
    long = [
        node
        for node in graph.graph.nodes
        if node.op == "call_function" and len(node.meta["val"].shape) > 5 and node.users
    ]
    assert long == []


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x.view(1, 3, 2, 4, 2, 4).cumsum(2), "aten.cumsum.default of more than"),
        (lambda x: x.view(3, 1, 2, 4, 2, 4).relu(), "it has more than one image, or seven axes"),
        (lambda x: x.view(1, 1, 6, 4, 2, 4).transpose(0, 1), "it moves the batch axis"),
        (lambda x: x.view(1, 3, 2, 4, 2, 4).amax().view(1, 1), "it is along the batch axis"),
        (lambda x: x.view(1, 3, 2, 4, 2, 4).sum(0), "it is along the batch axis"),
    ],
)
def test_other_values_of_six_axes_stay(function: Any, reason: str) -> None:
    _, record = rewritten(DropBatchAxis(), Model(lambda m, x: function(x).flatten(1)))
    assert any(reason in line for line in record.match_failures)


def test_nothing_is_dropped_of_what_becomes_a_batch_of_windows_behind() -> None:
    """Hiera orders its patches so; coremltools takes the whole of it, and no half."""
    _, record = rewritten(
        DropBatchAxis(),
        Model(
            lambda m, x: (
                x.view(1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5)
                .reshape(4, 3, 2, 2, 2, 2).permute(0, 2, 4, 1, 3, 5).flatten(1)
            )
        ),
    )  # fmt: skip
    assert record.applied == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.unsqueeze(2).expand(1, 3, 5, 8, 8).permute(0, 1, 3, 4, 2),
        lambda x: x.mean((0, 1)).expand(2, 4, 8, 8).permute(2, 0, 3, 1)[None],
        lambda x: x.amax(2, keepdim=True).expand(-1, -1, 6, -1).transpose(1, 3),
    ],
)
def test_the_order_is_changed_before_a_value_is_repeated(
    function: Callable[[Tensor], Tensor],
) -> None:
    graph, record = rewritten(PermuteBeforeExpand(), Model(lambda m, x: function(x)))
    names = operations(graph)
    assert record.applied == 1 and names.index("expand") == names.index("permute") + 1


def test_a_product_with_one_vector_is_a_sum() -> None:
    model = Model(lambda m, x: x[:, :1] @ x[:, 1:2, :, :1])
    graph, record = rewritten(VectorMatmulToSum(), model)
    assert record.applied == 1 and "matmul" not in operations(graph)
    batch = Model(lambda m, x: x @ x[..., :1])
    assert match_failures(VectorMatmulToSum(), batch) == ["it has a batch"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[0, 0, :, :1] @ x[0, 1, :1],
        lambda x: x[:, 0, :, :1] @ x[0, 1, :1],
        lambda x: x[0, ..., 2:3].bmm(x[0, :, :1]),
    ],
)
def test_a_product_of_a_column_and_a_row_is_one_by_broadcasting(
    function: Callable[[Tensor], Tensor],
) -> None:
    graph, record = rewritten(OuterProductToMul(), Model(lambda m, x: function(x)))
    assert record.applied == 1 and not {"matmul", "bmm"} & {*operations(graph)}


def test_a_product_of_a_column_and_a_vector_stays() -> None:
    vector = Model(lambda m, x: x[..., :1] @ x[0, 0, 0, :1])
    assert match_failures(OuterProductToMul(), vector) == ["a vector has no second axis"]


def test_a_whole_number_is_scattered_as_a_floating_one() -> None:
    model = Model(lambda m, x: torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1))
    graph, record = rewritten(FloatScatterValue(), model)
    (scattered,) = nodes(graph, "scatter")
    assert record.applied == 1 and isinstance(scattered.args[3], float)


class Context(nn.Module):
    """The context of GCNet, windows' positions relative to each other (BoTNet), and attention of
    one head of one channel (CSATv2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mask = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 1, 1)
        self.last = nn.Conv2d(8, 8, 1)
        self.qkv = nn.Linear(1, 3, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.conv(image)
        weights = self.mask(x).flatten(2).softmax(2).unsqueeze(-1)
        context = x.flatten(2).unsqueeze(1) @ weights
        rows = x.mean(2).unsqueeze(2).expand(-1, -1, 6, -1).permute(0, 1, 3, 2).flatten(2)
        query, key, value = self.qkv(self.mask(x).flatten(2).transpose(1, 2)).unbind(-1)
        one = (query @ key.transpose(-1, -2)).softmax(-1) @ value
        return self.last(context.view(1, 8, 1, 1)).flatten(1), rows, one


@pytest.mark.slow
def test_litert_computes_what_it_would_drop(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(Context(), size=16, targets="tflite", out=tmp_path)
    assert len(exported.manifest.artifacts) == 1
