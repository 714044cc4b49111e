"""normalize_layout_ops, remove_identities, cancel_transposes: fewer layout changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit_export.rewrites.cancel_transposes import CancelTransposes
from lolvit_export.rewrites.normalize_layout_ops import NormalizeLayoutOps
from lolvit_export.rewrites.remove_identities import RemoveIdentities
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes

SIZE = (4, 5)  # all extents of (1, 3, 4, 5) differ, so that a wrong order shows
PERMUTING = {
    "mT": lambda m, x: x.mT,
    "t": lambda m, x: x[0, 0].t(),
    "T": lambda m, x: x[0, 0].T,
    "movedim": lambda m, x: x.movedim(1, -1),
    "movedim back": lambda m, x: x.movedim(-1, 1),
    "movedim several": lambda m, x: x.movedim((0, 2), (-1, 0)),
    "moveaxis": lambda m, x: torch.moveaxis(x, -2, 0),
    "moveaxis several": lambda m, x: torch.moveaxis(x, (3, 1), (1, 2)),
    "swapaxes": lambda m, x: x.swapaxes(1, -1),
    "swapdims": lambda m, x: x.swapdims(-3, 2),
}
RESHAPING = {
    "flatten": lambda m, x: x.flatten(2),
    "flatten all": lambda m, x: x.flatten(),
    "flatten some": lambda m, x: x.flatten(1, -2),
    "unflatten": lambda m, x: x.unflatten(-1, (5, 1)),
    "squeeze": lambda m, x: x.squeeze(),
    "squeeze one": lambda m, x: x.squeeze(0),
    "squeeze several": lambda m, x: x.squeeze((0, 1)),
    "unsqueeze": lambda m, x: x.unsqueeze(-1),
    "view_as": lambda m, x: x.view_as(m.like),
    "reshape_as": lambda m, x: x.reshape_as(m.like),
}


def plus_one(change: Any) -> Model:
    """Return a model that changes the layout and then adds, so that the change is read."""
    return Model(lambda m, x: change(m, x) + 1, like=torch.zeros(3, 20))


@pytest.mark.parametrize("name", PERMUTING)
def test_every_way_to_order_axes_becomes_a_permute(name: str) -> None:
    graph, record = rewritten(NormalizeLayoutOps(), plus_one(PERMUTING[name]), SIZE)
    assert record.applied == 1 and operations(graph)[-2:] == ["permute", "add"]


@pytest.mark.parametrize("name", RESHAPING)
def test_every_way_to_join_and_split_axes_becomes_a_reshape(name: str) -> None:
    graph, record = rewritten(NormalizeLayoutOps(), plus_one(RESHAPING[name]), SIZE)
    assert record.applied == 1 and operations(graph) == ["reshape", "add"]


@pytest.mark.parametrize(
    "expanding",
    [lambda m, x: x[:, :1].expand_as(x), lambda m, x: x[:, :1].broadcast_to(1, 3, 4, 5)],
)
def test_every_way_to_broadcast_becomes_an_expand(expanding: Any) -> None:
    graph, record = rewritten(NormalizeLayoutOps(), plus_one(expanding), SIZE)
    assert record.applied == 1 and operations(graph)[-2:] == ["expand", "add"]


@pytest.mark.parametrize(
    "change",
    [lambda m, x: x.permute(0, 2, 3, 1), lambda m, x: x.transpose(1, 2), lambda m, x: x[:, :, :2]],
    ids=["permute", "transpose", "slice"],
)
def test_plain_changes_are_left_alone(change: Any) -> None:
    assert match_failures(NormalizeLayoutOps(), plus_one(change), SIZE) == []


@pytest.mark.parametrize(
    "identity",
    [
        lambda m, x: m.drop(x),
        lambda m, x: m.drop_in_place(x * 1),
        lambda m, x: x.clone(),
        lambda m, x: x.detach(),
        lambda m, x: x.permute(0, 2, 3, 1).contiguous(),
        lambda m, x: x.reshape(1, 3, 4, 5),
        lambda m, x: x.view(-1, 3, 4, 5),
        lambda m, x: x.expand(1, 3, 4, 5),
        lambda m, x: x + m.constant.clone(),
    ],
)
def test_what_gives_back_its_input_is_dropped(identity: Any) -> None:
    model = Model(
        lambda m, x: identity(m, x) + 1,
        drop=nn.Dropout(0.5),
        drop_in_place=nn.Dropout(0.5, inplace=True),
        constant=torch.ones(1),
    )
    graph, record = rewritten(RemoveIdentities(), model, SIZE)
    assert record.applied == 1
    assert not {"dropout", "clone", "detach", "contiguous", "reshape", "view", "expand"} & set(
        operations(graph)
    )


def test_a_chain_of_identities_is_dropped_whole_also_at_the_ends() -> None:
    model = Model(lambda m, x: (x.clone().detach() * 2).detach().reshape(1, 3, 4, 5))
    graph, record = rewritten(RemoveIdentities(), model, SIZE)
    assert operations(graph) == ["mul"] and record.applied == 4


def test_a_view_that_the_dropped_copy_made_possible_still_holds() -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.transpose(1, 2).contiguous().view(1, 4, -1) + 1

    graph, _ = rewritten(RemoveIdentities(), Model(forward), SIZE)
    assert operations(graph) == ["transpose", "reshape", "add"]


reshapes = st.sampled_from([(1, 3, 4, 5), (1, 60), (3, 20), (1, 12, 5), (60,), (2, 3, 1, 2, 5)])


@some_shapes
@given(st.lists(reshapes, min_size=1, max_size=5))
def test_any_chain_of_reshapes_becomes_one_or_none(chain: list[tuple[int, ...]]) -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        for shape in chain:
            x = x.reshape(shape)
        return x + 1

    graph, _ = rewritten(RemoveIdentities(), Model(forward), SIZE)
    assert operations(graph).count("reshape") == (chain[-1] != (1, 3, 4, 5))


def test_a_reshape_that_others_read_stays_for_them() -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        rows = x.reshape(1, 12, 5)
        return rows.reshape(1, 60).sum() + rows

    graph, _ = rewritten(RemoveIdentities(), Model(forward), SIZE)
    assert operations(graph).count("reshape") == 2


def test_dropout_in_training_mode_is_left_alone() -> None:
    model = Model(lambda m, x: F.dropout(x, 0.0, training=True) + 1)
    assert match_failures(RemoveIdentities(), model, SIZE) == ["dropout is in training mode"]


@pytest.mark.parametrize(
    "change", [lambda m, x: x.reshape(1, 12, 5), lambda m, x: x[:, :1].expand(1, 3, 4, 5)]
)
def test_what_changes_the_shape_is_left_alone(change: Any) -> None:
    assert match_failures(RemoveIdentities(), plus_one(change), SIZE) == []


swaps = st.tuples(st.just("transpose"), st.integers(-4, 3), st.integers(-4, 3))
orders = st.permutations(range(4)).map(lambda order: ("permute", *order))


@some_shapes
@given(st.lists(swaps | orders, min_size=1, max_size=6))
def test_any_chain_of_transposes_becomes_one_or_none(chain: list[tuple[Any, ...]]) -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        for kind, *axes in chain:
            x = x.transpose(*axes) if kind == "transpose" else x.permute(axes)
        return x + 1

    graph, record = rewritten(CancelTransposes(), Model(forward), SIZE)
    left = nodes(graph, "permute") + nodes(graph, "transpose")
    assert len(left) <= 1 and record.match_failures == ()
    whole = Model(forward)(torch.zeros(2, 3, 4, 5)).shape
    assert bool(left) is (whole != (2, 3, 4, 5))


def test_three_equal_swaps_are_one() -> None:
    model = Model(lambda m, x: x.transpose(2, 3).transpose(2, 3).transpose(2, 3) + 1)
    graph, _ = rewritten(CancelTransposes(), model, SIZE)
    assert operations(graph) == ["transpose", "add"]


def test_a_transpose_that_others_read_stays_for_them() -> None:
    def forward(_: Any, x: Tensor) -> Tensor:
        swapped = x.transpose(2, 3)
        return swapped.transpose(2, 3).sum(3) + swapped.sum(2)

    graph, record = rewritten(CancelTransposes(), Model(forward), SIZE)
    assert record.applied == 1 and operations(graph).count("transpose") == 1


def test_transposes_with_something_between_are_left_alone() -> None:
    model = Model(lambda m, x: x.transpose(2, 3).relu().transpose(2, 3))
    assert match_failures(CancelTransposes(), model, SIZE) == []
