"""strided_slice_to_reshape and remove_expand: forms that accelerators take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lolvit_export.rewrites.remove_expand import RemoveExpand
from lolvit_export.rewrites.strided_slice_to_reshape import StridedSliceToReshape
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes
from tests.export.static_form import violations

UNSTRIDE, EXPAND = StridedSliceToReshape(), RemoveExpand()
bounds = st.none() | st.integers(-12, 12)


def sliced(axis: int, start: int | None, stop: int | None, step: int) -> Model:
    index: list[Any] = [slice(None)] * 4
    index[axis] = slice(start, stop, step)
    return Model(lambda m, x: x[tuple(index)] + 1)


@some_shapes
@given(st.integers(0, 3), bounds, bounds, st.integers(2, 5), st.integers(1, 11), st.integers(1, 11))
def test_any_slice_of_any_axis_takes_the_same_elements(
    axis: int, start: int | None, stop: int | None, step: int, height: int, width: int
) -> None:
    model = sliced(axis, start, stop, step)
    empty = model(torch.zeros(1, 3, height, width)).numel() == 0
    graph, record = rewritten(UNSTRIDE, model, (height, width))
    steps = [node.args[4] for node in nodes(graph, "slice") if len(node.args) > 4]
    if empty:
        assert record.applied == 0
    else:
        assert set(steps) <= {1} and record.match_failures == () and violations(graph) == []


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_whole_runs_take_one_slice_and_no_padding(axis: int, start: int) -> None:
    graph, record = rewritten(UNSTRIDE, sliced(axis, start, None, 3), (6, 9))
    assert operations(graph) == ["reshape", "slice", "reshape", "add"]
    assert record.applied == 1


def test_a_patchify_by_strided_slices_is_rewritten_whole() -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        corners = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return torch.cat(corners, 1)

    graph, record = rewritten(UNSTRIDE, Model(forward), (8, 6))
    assert record.applied == 8 and violations(graph) == []


def test_an_odd_extent_is_padded() -> None:
    graph, _ = rewritten(UNSTRIDE, sliced(3, 0, None, 2), (4, 7))
    assert "constant_pad_nd" in operations(graph)


def test_a_slice_that_takes_nothing_is_left_alone() -> None:
    model = Model(lambda m, x: torch.cat([x[..., 4:2:2], x], 3))
    assert match_failures(UNSTRIDE, model, (4, 4)) == ["it takes nothing"]


@pytest.mark.parametrize("forward", [lambda m, x: x[..., 1:3], lambda m, x: x[:, :, 0]])
def test_a_slice_without_stride_is_not_reported(forward: Any) -> None:
    assert match_failures(UNSTRIDE, Model(forward), (4, 4)) == []


OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "max": torch.maximum,
    "min": torch.minimum,
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("swapped", [False, True])
def test_an_operation_that_broadcasts_takes_the_small_value(operator: str, swapped: bool) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        wide = m.scale.expand(1, 3, 4, 5)
        return OPERATORS[operator](*((wide, x) if swapped else (x, wide)))

    model = Model(forward, scale=torch.tensor([1.5, 2, 3]).reshape(3, 1, 1))
    graph, record = rewritten(EXPAND, model, (4, 5))
    assert record.applied == 1 and len(operations(graph)) == 1


@some_shapes
@given(st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 3))
def test_any_broadcast_axes_do(ones: list[bool], dropped: int) -> None:
    full = (1, 3, 4, 5)
    shape = [1 if one else extent for one, extent in zip(ones, full, strict=True)]
    small = torch.linspace(1, 2, 60).double()[: torch.Size(shape).numel()].reshape(shape)
    while dropped and small.dim() > 1 and small.shape[0] == 1:
        small, dropped = small[0], dropped - 1
    model = Model(lambda m, x: x * m.small.expand(full), small=small)
    assert "expand" not in operations(rewritten(EXPAND, model, (4, 5))[0]) or small.shape == full


def test_two_expands_that_make_the_shape_together_are_both_dropped() -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.mean(2, True).expand(1, 3, 4, 5) * x.mean(3, True).expand(1, 3, 4, 5)

    graph, record = rewritten(EXPAND, Model(forward), (4, 5))
    assert record.applied == 2 and "expand" not in operations(graph)


def wide(x: Tensor) -> Tensor:
    return x.mean(1, True).expand(1, 3, 4, 5)


NOT_BY_ITSELF = {
    "cat": lambda m, x: torch.cat([x, wide(x)]),
    "matmul": lambda m, x: wide(x) @ x.mT,
    "output": lambda m, x: wide(x),
}
ITS_SHAPE = {
    "a number": lambda m, x: wide(x) + 1,
    "itself": lambda m, x: (w := wide(x)) + w,
    "another small value": lambda m, x: wide(x) + x[:, :1],
}


@pytest.mark.parametrize("reader", NOT_BY_ITSELF)
def test_an_operation_that_does_not_broadcast_keeps_the_expand(reader: str) -> None:
    reasons = match_failures(EXPAND, Model(NOT_BY_ITSELF[reader]), (4, 5))
    assert reasons == [f"{reader} does not broadcast by itself"]


@pytest.mark.parametrize("other", ITS_SHAPE)
def test_an_expand_that_gives_the_shape_is_kept(other: str) -> None:
    reasons = match_failures(EXPAND, Model(ITS_SHAPE[other]), (4, 5))
    assert reasons == ["add has its shape from the expanded value"]


def test_an_expand_that_decides_the_type_is_kept() -> None:
    """A tensor of rank 0 takes part in no promotion: float32 · float64 of rank 0 is float32."""

    def forward(m: Any, x: Tensor) -> Tensor:
        return x.to(torch.float32) * m.one.expand(3, 4, 5)

    reasons = match_failures(EXPAND, Model(forward, one=torch.tensor(1.0)), (4, 5))
    assert reasons == ["mul has its type from the rank of the expanded value"]


def test_one_reader_that_depends_on_it_is_enough() -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        both = wide(x)
        return x + both + torch.cat([both, both])[:1]

    assert match_failures(EXPAND, Model(forward), (4, 5)) == ["cat does not broadcast by itself"]
