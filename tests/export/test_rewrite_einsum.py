"""einsum_to_matmul: an einsum of two operands as one matmul."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lolvit_export.rewrites.einsum_to_matmul import EinsumToMatmul
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

REWRITE = EinsumToMatmul()
EXTENTS = {"b": 1, "h": 2, "n": 5, "m": 4, "d": 3}


def einsum(equation: str) -> Model:
    """A model that multiplies two operands which both depend on the image."""
    first, second = equation.split("->")[0].split(",")

    def operand(x: Any, held: Any, letters: str) -> Any:
        return held.reshape([EXTENTS[letter] for letter in letters if letter.isalpha()]) + x.mean()

    def forward(m: Any, x: Any) -> Any:
        return torch.einsum(equation, operand(x, m.one, first), operand(x, m.other, second))

    generator = torch.Generator().manual_seed(0)
    sizes = [
        torch.Size([EXTENTS[letter] for letter in part if letter.isalpha()]).numel()
        for part in (first, second)
    ]
    held = [torch.randn(size, generator=generator).double() for size in sizes]
    return Model(forward, one=held[0], other=held[1])


@some_shapes
@given(st.permutations("bhnd"), st.permutations("bhmd"), st.permutations("bhnm"))
def test_any_order_of_axes_is_multiplied_alike(first: Any, second: Any, result: Any) -> None:
    equation = f"{''.join(first)},{''.join(second)}->{''.join(result)}"
    graph, record = rewritten(REWRITE, einsum(equation))
    assert record.applied == 1 and "matmul" in operations(graph)
    assert "einsum" not in operations(graph)


@pytest.mark.parametrize(
    "equation",
    ["nd,md->nm", "nd,dm", "dn,dm", "hnd,hmd->hnm", "bhnm,bhmd->bhnd", "hnd , hdm -> hmn"],
)
def test_every_rank_and_notation_is_read(equation: str) -> None:
    assert rewritten(REWRITE, einsum(equation))[1].applied == 1


def test_a_product_that_needs_no_transpose_gets_none() -> None:
    graph, _ = rewritten(REWRITE, einsum("bhnd,bhdm->bhnm"))
    assert "permute" not in operations(graph)


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        ("hnd,hnd->hnd", "no batched matrix product"),
        ("hnd,md->nm", "no batched matrix product"),
        ("hnd,hmd->nm", "no batched matrix product"),
        ("bnd,hmd->bhnm", "no batched matrix product"),
        ("nd,d->n", "no batched matrix product"),
        ("n,m->nm", "no batched matrix product"),
        ("...nd,...md->...nm", "an ellipsis or a repeated letter"),
        ("hnn,hnd->hd", "an ellipsis or a repeated letter"),
    ],
)
def test_other_einsums_are_left_alone(equation: str, reason: str) -> None:
    assert match_failures(REWRITE, einsum(equation)) == [reason]


def test_one_operand_is_left_alone() -> None:
    model = Model(lambda m, x: torch.einsum("bchw->bhwc", x) + 1)
    assert match_failures(REWRITE, model) == ["1 operands, not 2"]


def test_a_letter_that_is_broadcast_is_left_alone() -> None:
    model = Model(lambda m, x: torch.einsum("bhnd,bhmd->bhnm", x, x[:, :, :, :1]))
    assert match_failures(REWRITE, model) == ["'d' is broadcast"]
