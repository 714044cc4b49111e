"""Values of six axes, the first of which is a batch of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from lolvit_export.rewrites.drop_batch_axis import DropBatchAxis
from tests.export.rewriting import Model, rewritten

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
}  # fmt: skip


@pytest.mark.parametrize("function", LONG.values(), ids=LONG)
def test_six_axes_of_one_image_are_five(function: Callable[[Any, Tensor], Tensor]) -> None:
    weight = nn.Parameter(torch.empty(1, 3, 1, 1, 2, 4))
    if function is LONG["involution"]:
        weight = nn.Parameter(torch.empty(1, 3, 1, 2, 1, 8))
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
        (lambda x: x.view(1, 3, 2, 4, 2, 4).transpose(0, 1), "it moves the batch axis"),
        (lambda x: x.view(1, 3, 2, 4, 2, 4).sum(0), "it is along the batch axis"),
    ],
)
def test_other_values_of_six_axes_stay(function: Any, reason: str) -> None:
    _, record = rewritten(DropBatchAxis(), Model(lambda m, x: function(x).flatten(1)))
    assert any(reason in line for line in record.match_failures)
