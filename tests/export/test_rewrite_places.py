"""Places along an axis that are filled, written, chosen, cut off or taken in windows."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lolvit_export.rewrites.diagonal_to_index_select import DiagonalToIndexSelect
from lolvit_export.rewrites.index_fill_to_where import IndexFillToWhere
from lolvit_export.rewrites.index_writes_to_index_select import IndexWritesToIndexSelect
from lolvit_export.rewrites.negative_padding_to_slice import NegativePaddingToSlice
from lolvit_export.rewrites.one_hot_to_equal import OneHotToEqual
from lolvit_export.rewrites.unfold_to_reshape import UnfoldToReshape
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

sides = st.integers(1, 13)
axes = st.integers(-4, 3)


@some_shapes
@given(st.sampled_from([2, 3, -1, -2]), st.integers(1, 6), st.integers(1, 7), st.integers(6, 13))
def test_windows_are_a_reshape(axis: int, size: int, step: int, width: int) -> None:
    model = Model(lambda m, x: x.unfold(axis, size, step).unfold(1, 3, 3))
    graph, record = rewritten(UnfoldToReshape(), model, (width, width))
    assert record.applied == 2 and "unfold" not in operations(graph)
    assert ("index_select" in operations(graph)) == (step != size)


@some_shapes
@given(sides, sides, st.integers(-1, 1), st.permutations([1, 2, 3]))
def test_a_diagonal_is_chosen(height: int, width: int, offset: int, order: list[int]) -> None:
    model = Model(lambda m, x: x.diagonal(offset, *order[:2]))
    graph, record = rewritten(DiagonalToIndexSelect(), model, (height, width))
    assert record.applied == 1 and "diagonal" not in operations(graph)


@some_shapes
@given(axes, st.permutations([0, 1, 2]), st.booleans())
def test_writes_to_constant_places_are_choices(axis: int, order: list[int], adds: bool) -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        moved = x.flatten(0, 1).unsqueeze(0)[:, :, :3]  # (1, 3, 3, 8)
        written = moved.narrow(axis, 0, module.places.numel()).cos()
        write = moved.index_add if adds else moved.index_copy
        return write(axis, module.places, written)

    model = Model(forward, places=torch.tensor(order[:2] if axis % 4 else [0]))
    model.places = model.places.long()
    graph, record = rewritten(IndexWritesToIndexSelect(), model)
    assert record.applied == 1 and not {"index_copy", "index_add"} & {*operations(graph)}


def test_places_that_are_written_twice_stay() -> None:
    model = Model(lambda m, x: x.index_add(1, torch.tensor([1, 1]), x[:, :2]))
    (reason,) = match_failures(IndexWritesToIndexSelect(), model)
    assert reason in ("a place is written twice", "its places are computed")


@some_shapes
@given(st.integers(3, 9), sides)
def test_one_hot_is_a_comparison(classes: int, width: int) -> None:
    model = Model(lambda m, x: F.one_hot(x.argmax(1), classes).double())
    graph, record = rewritten(OneHotToEqual(), model, (2, width))
    assert record.applied == 1 and "one_hot" not in operations(graph)


@some_shapes
@given(
    st.lists(st.integers(-2, 2), min_size=4, max_size=4), st.sampled_from(["constant", "reflect"])
)
def test_negative_padding_is_a_slice(pads: list[int], mode: str) -> None:
    assume(min(pads) < 0)
    value = 0.7 if mode == "constant" else None
    model = Model(lambda m, x: F.pad(x, pads, mode, value))
    graph, record = rewritten(NegativePaddingToSlice(), model, (6, 7))
    assert record.applied == 1 and "slice" in operations(graph)
    assert ("pad" in operations(graph)) == (max(pads) > 0)


@some_shapes
@given(axes, st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True), st.booleans())
def test_places_are_filled_by_a_mask(axis: int, places: list[int], computed: bool) -> None:
    def forward(module: Any, x: Tensor) -> Tensor:
        value = x.mean() if computed else 0.5
        return x.unsqueeze(0).flatten(0, 1).index_fill(axis, module.places, value)

    model = Model(forward, places=torch.tensor(places) if axis % 4 else torch.tensor([0]))
    model.places = model.places.long()
    graph, record = rewritten(IndexFillToWhere(), model)
    assert record.applied == 1 and "index_fill" not in operations(graph)
