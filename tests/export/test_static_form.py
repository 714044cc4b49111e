"""static_form: each thing that is not in static form is named, with its reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lolvit.models import create_model
from lolvit_export.capture import FlatOutputs, capture
from tests.export.rewriting import Model
from tests.export.static_form import violations

RANK, BATCH = "rank 5", "its first axis, the batch, has extent 3"
TILE = "average over windows that do not tile the map"
NOT_STATIC = {
    "expand": (lambda m, x: x[:, :1].expand(1, 3, 6, 6), "no broadcast by itself"),
    "expand_as": (lambda m, x: x[:, :1].expand_as(x), "no broadcast by itself"),
    "unbind": (
        lambda m, x: x.unbind(2)[0],
        "unbind: aten.unbind.int: it returns a list of tensors",
    ),
    "batch norm": (lambda m, x: m.norm(x), "batch_norm: aten.batch_norm.default: BatchNorm is not"),
    "dropout": (lambda m, x: m.drop(x), "dropout: aten.dropout.default: dropout does nothing"),
    "einsum": (lambda m, x: torch.einsum("bchw,bcvw->bchv", x, x), "einsum: aten.einsum.default"),
    "strided slice": (lambda m, x: x[..., ::2], "slice with step 2"),
    "ragged pool": (lambda m, x: F.avg_pool2d(x, 4, ceil_mode=True), f"avg_pool2d: {TILE}"),
    "cut pool": (lambda m, x: F.avg_pool2d(x, 4), f"avg_pool2d: {TILE}"),
    "overlapping pool": (lambda m, x: F.avg_pool2d(x, 2, 1), f"avg_pool2d: {TILE}"),
    "padded pool": (lambda m, x: F.avg_pool2d(x, 2, padding=1), f"avg_pool2d: {TILE}"),
    "flagged pool": (lambda m, x: F.avg_pool2d(x, 2, ceil_mode=True), f"avg_pool2d: {TILE}"),
    "divided pool": (lambda m, x: F.avg_pool2d(x, 2, divisor_override=3), f"avg_pool2d: {TILE}"),
    "adaptive pool": (lambda m, x: F.adaptive_avg_pool2d(x, 2), "adaptive windows to more than"),
    "pool of vectors": (lambda m, x: F.avg_pool1d(x[0], 2)[None], "only two-dimensional pools"),
    "rank": (lambda m, x: x[None], f"unsqueeze: {RANK}"),
    "batch": (lambda m, x: x.transpose(0, 1), f"transpose: {BATCH}"),
    "batch of vectors": (lambda m, x: x.reshape(3, -1), f"reshape: {BATCH}"),
}


@pytest.mark.parametrize("case", NOT_STATIC)
def test_what_is_not_static_is_named_with_its_reason(case: str) -> None:
    forward, expected = NOT_STATIC[case]
    model = Model(forward, norm=nn.BatchNorm2d(3), drop=nn.Dropout())
    lines = violations(capture(model, (6, 6)))
    assert any(expected in line for line in lines)
    assert all(": " in line and "\n" not in line for line in lines)


STATIC = {
    "convolution": lambda m, x: m.conv(x).relu(),
    "exact pool": lambda m, x: F.avg_pool2d(x, 2),
    "global pool": lambda m, x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "slice": lambda m, x: x[..., 1:3],
    "weights with a first axis of their own": lambda m, x: x * (m.conv.weight + 1).sum(0),
    "products": lambda m, x: x @ x.transpose(-2, -1),
    "parts of a list": lambda m, x: x.chunk(3, 1)[1],
}


@pytest.mark.parametrize("case", STATIC)
def test_what_is_static_is_passed(case: str) -> None:
    model = Model(STATIC[case], conv=nn.Conv2d(3, 4, 1))
    assert violations(capture(model, (6, 6))) == []


def test_a_dynamic_shape_is_named() -> None:
    extents = {"image": {2: torch.export.Dim("h", min=4, max=64)}}
    program = torch.export.export(
        FlatOutputs(nn.Conv2d(3, 4, 1)), (torch.rand(1, 3, 8, 8),), dynamic_shapes=extents
    )
    lines = violations(program.module(check_guards=False))
    assert any(line.startswith("conv2d: its shape is not known: (1, 4, ") for line in lines)


def test_a_batch_of_several_is_named_from_the_input_on() -> None:
    program = torch.export.export(FlatOutputs(nn.Conv2d(3, 4, 1)), (torch.rand(2, 3, 8, 8),))
    lines = violations(program.module(check_guards=False))
    assert lines == [
        "image: its first axis, the batch, has extent 2",
        "conv2d: its first axis, the batch, has extent 2",
    ]


def test_a_write_in_place_is_named() -> None:
    program = torch.export.export(FlatOutputs(nn.ReLU(inplace=True)), (torch.rand(1, 3, 8, 8),))
    assert violations(program.module(check_guards=False)) == [
        "relu_: aten.relu_.default writes in place"
    ]


def test_a_naive_capture_of_lolvit_is_far_from_static() -> None:
    lines = violations(capture(create_model("lolvit_xx"), (64, 64)))
    for operation in ("batch_norm", "unbind", "avg_pool2d", "reshape", "dropout"):
        assert any(line.split(": ")[0].split("_")[0] in operation for line in lines)
    reasons: dict[str, Any] = {line.split(": ", 1)[1]: line for line in lines}
    assert {RANK, TILE} <= set(reasons)
