"""split_qkv_projection: one projection for each part of a joint one, so that no rank exceeds 4."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit_export.rewrites.split_qkv_projection import SplitQkvProjection
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes
from tests.export.static_form import violations

REWRITE = SplitQkvProjection()
FORMS = ("unbind", "select")
parts, heads, dims = st.integers(2, 4), st.integers(1, 3), st.integers(1, 4)


def parted(value: Tensor, axis: int, form: str) -> list[Tensor]:
    """Split `value` along `axis` by one unbind or by a select each, counted from either end."""
    if form == "unbind":
        return list(value.unbind(axis))
    count = value.shape[axis]
    return [value.select(axis, i if i % 2 else i - count) for i in range(count)]


def weighed(values: list[Tensor]) -> Tensor:
    """Join parts so that exchanging two would show."""
    return torch.stack([(i + 2) * part for i, part in enumerate(values)]).sum(0)


def conv_heads(n: int, h: int, d: int, order: Any, form: str, **options: Any) -> Model:
    """A convolution to n·h·d channels, reshaped to (1, n, h, d, N), permuted, split along n."""

    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.project(x)
        y = y.reshape(1, n, h, d, -1).permute(order)
        return weighed(parted(y, list(order).index(1), form))

    kernel = options.pop("kernel_size", 1)
    return Model(forward, project=nn.Conv2d(3, n * h * d, kernel, **options))


def linear_heads(n: int, h: int, d: int, order: Any, form: str, bias: bool = True) -> Model:
    """A linear layer to n·h·d features, reshaped to (1, N, n, h, d), permuted, split along n."""

    def forward(m: Any, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (1, N, C)
        y = m.project(tokens).reshape(1, tokens.shape[1], n, h, d).permute(order)
        return weighed(parted(y, list(order).index(2), form))

    return Model(forward, project=nn.Linear(3, n * h * d, bias))


@some_shapes
@given(parts, heads, dims, st.permutations(range(5)), st.sampled_from(FORMS), st.booleans())
def test_a_convolutions_parts_get_convolutions_of_their_own(
    n: int, h: int, d: int, order: list[int], form: str, bias: bool
) -> None:
    graph, record = rewritten(REWRITE, conv_heads(n, h, d, order, form, bias=bias), (3, 4))
    assert record.match_failures == () and record.applied == (1 if form == "unbind" else n)
    assert operations(graph).count("conv2d") == n and not {"unbind", "select"} & {
        *operations(graph)
    }
    assert all("rank" not in line for line in violations(graph) if "stack" not in line)


@some_shapes
@given(parts, heads, dims, st.permutations(range(5)), st.sampled_from(FORMS), st.booleans())
def test_a_linear_layers_parts_get_layers_of_their_own(
    n: int, h: int, d: int, order: list[int], form: str, bias: bool
) -> None:
    graph, record = rewritten(REWRITE, linear_heads(n, h, d, order, form, bias), (3, 4))
    assert record.match_failures == () and record.applied == (1 if form == "unbind" else n)
    assert operations(graph).count("linear") == n


@some_shapes
@given(st.lists(st.permutations(range(5)), min_size=1, max_size=3), st.sampled_from(FORMS))
def test_any_chain_of_permutes_before_the_split_will_do(orders: list[Any], form: str) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y, axes = m.project(x).reshape(1, 2, 3, 4, -1), list(range(5))
        for order in orders:
            y, axes = y.permute(order), [axes[axis] for axis in order]
        y, axes = y.transpose(0, 3), [axes[axis] for axis in (3, 1, 2, 0, 4)]
        return weighed(parted(y, axes.index(1), form))

    assert rewritten(REWRITE, Model(forward, project=nn.Conv2d(3, 24, 1)), (3, 4))[1].applied > 0


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 3}, {"kernel_size": 3, "padding": "same"}, {"stride": 2}, {"dilation": 2}],
    ids=str,
)
def test_any_convolution_is_split_in_its_own_manner(options: dict[str, Any]) -> None:
    model = conv_heads(3, 2, 4, [0, 1, 2, 3, 4], "unbind", **options)
    assert rewritten(REWRITE, model, (7, 8))[1].applied == 1


def test_a_part_that_nobody_reads_gets_no_projection() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.project(x).reshape(1, 3, 2, 4, -1).unbind(1)[2]

    graph, _ = rewritten(REWRITE, Model(forward, project=nn.Conv2d(3, 24, 1)))
    assert operations(graph) == ["conv2d", "reshape"]
    assert sum(tensor.numel() for tensor in graph.state_dict().values()) == 8 * 3 + 8


def test_a_convolution_without_batch_is_split_along_its_own_channels() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return weighed(list(m.project(x[0]).reshape(3, 2, 4, -1).unbind(0)))

    model = Model(forward, project=nn.Conv2d(3, 24, 1))
    assert rewritten(REWRITE, model, (3, 4))[1].applied == 1


def test_a_batch_of_one_that_is_unbound_is_the_whole() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        return m.project(x).reshape(1, 2, 3, 4, -1).unbind(0)[0]

    model = Model(forward, project=nn.Conv2d(3, 24, 1))
    assert rewritten(REWRITE, model, (3, 4))[1].applied == 1


def split(value: Tensor, axis: int = 1) -> Tensor:
    return weighed(list(value.unbind(axis)))


def joint(m: Any, x: Tensor) -> Tensor:
    return m.project(x).reshape(1, 3, 2, 4, -1)


def read_twice(m: Any, x: Tensor) -> Tensor:
    y = joint(m, x)
    return split(y) + y.sum()


def permuted_and_read(m: Any, x: Tensor) -> Tensor:
    y = joint(m, x)
    return split(y.permute(0, 1, 3, 2, 4)) + y.sum()


def projection_read(m: Any, x: Tensor) -> Tensor:
    y = m.project(x)
    return split(y.reshape(1, 3, 2, 4, -1)) + y.sum()


def on_two_axes(m: Any, x: Tensor) -> Tensor:
    y = joint(m, x)
    return y.select(1, 0).sum() + y.select(2, 0)


def computed_weight(m: Any, x: Tensor) -> Tensor:
    return split(F.conv2d(x, m.project.weight * x.mean()).reshape(1, 3, 2, 4, -1))


def computed_bias(m: Any, x: Tensor) -> Tensor:
    y = F.conv2d(x, m.project.weight, m.project.bias * x.mean())
    return split(y.reshape(1, 3, 2, 4, -1))


ANOTHER_READER = "the value that is split has another reader"
NO_CHANNELS = "the axis is not the leading part of the channels"
REFUSED: dict[str, tuple[Any, str | list[str]]] = {
    "no reshape": (lambda m, x: split(m.project(x)), "no reshape before it"),
    "an activation between": (
        lambda m, x: split(F.relu(m.project(x)).reshape(1, 3, 2, 4, -1)),
        "what is split is not a convolution's or linear layer's output",
    ),
    "no projection": (
        lambda m, x: split(x.reshape(1, 3, 2, -1)),
        "what is split is not a convolution's or linear layer's output",
    ),
    "read whole": (read_twice, ANOTHER_READER),
    "read before a permute": (permuted_and_read, ANOTHER_READER),
    "projection read": (projection_read, "the projection has another reader"),
    "selects on two axes": (on_two_axes, [ANOTHER_READER] * 2),
    "the heads": (lambda m, x: split(joint(m, x), 2), NO_CHANNELS),
    "the positions": (lambda m, x: split(joint(m, x), 4), NO_CHANNELS),
    "the channels' fastest part": (
        lambda m, x: split(m.project(x).reshape(1, 2, 4, 3, -1), 3),
        NO_CHANNELS,
    ),
    "an axis across channels and positions": (
        lambda m, x: split(m.project(x).reshape(1, 5, -1)),
        NO_CHANNELS,
    ),
    "grouped": (
        lambda m, x: split(m.grouped(x).reshape(1, 3, 2, 4, -1)),
        "the projection is a grouped convolution",
    ),
    "computed weight": (computed_weight, "the projection's weight is computed, not constant"),
    "computed bias": (computed_bias, "the projection's bias is computed, not constant"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_match_failure_has_its_reason(case: str) -> None:
    forward, reason = REFUSED[case]
    parts = {"project": nn.Conv2d(3, 24, 1), "grouped": nn.Conv2d(3, 24, 1, groups=3)}
    expected = [reason] if isinstance(reason, str) else reason
    assert match_failures(REWRITE, Model(forward, **parts), (2, 5)) == expected


def test_a_select_of_rank_4_and_less_is_not_reported() -> None:
    assert match_failures(REWRITE, Model(lambda m, x: x[:, 0] + x.select(1, 1))) == []


def test_weights_move_and_no_number_changes() -> None:
    model = conv_heads(3, 2, 4, [0, 1, 2, 3, 4], "unbind")
    graph, _ = rewritten(REWRITE, model)
    held = sorted(t.double().sum().item() for t in graph.state_dict().values() if t.dim() == 4)
    whole = model.project.weight.detach().chunk(3)
    assert held == pytest.approx(sorted(part.sum().item() for part in whole), rel=1e-15)
    assert math.prod(graph.state_dict()["static_conv2d_part0_weight"].shape) == 24
