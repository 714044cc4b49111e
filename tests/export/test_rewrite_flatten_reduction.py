"""Reductions of reshapes to many axes, and one in Core ML."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.rewrites.flatten_reduction import FlattenReduction
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

WIDE = (1, 3, 2, 4, 2, 4)  # of an image of 8 x 8 pixels


@some_shapes
@given(st.sampled_from(["amax", "amin", "mean", "sum"]), st.integers(-6, 5), st.booleans())
def test_any_reduction_over_any_axis_is_one_among_three(name: str, axis: int, kept: bool) -> None:
    model = Model(lambda m, x: getattr(x.view(WIDE), name)(dim=axis, keepdim=kept))
    graph, record = rewritten(FlattenReduction(), model, (8, 8))
    assert record.applied == 1
    assert operations(graph) in (["reshape", name, "reshape"], ["view", name, "reshape"])


def test_one_among_five_axes_stays() -> None:
    model = Model(lambda m, x: x.view(WIDE[1:]).amax(2))
    assert rewritten(FlattenReduction(), model, (8, 8))[1].applied == 0


def test_one_over_two_axes_stays() -> None:
    model = Model(lambda m, x: x.view(WIDE).amax((2, 4)))
    assert match_failures(FlattenReduction(), model, (8, 8)) == ["it is over several axes"]


class PooledWindows(nn.Module):
    """The largest of each four pixels in windows of 4 x 4, as in Hiera's queries."""

    def forward(self, image: Tensor) -> Tensor:
        windows = image.view(1, 3, 4, 4, 4, 4).permute(0, 1, 2, 4, 3, 5)
        return windows.reshape(1, 3, 16, 4, 2, 2).amax(3).flatten(1)


@pytest.mark.slow
def test_one_is_converted_to_core_ml(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(PooledWindows(), nn.Linear(192, 5))
    assert lolvit.export(model, size=16, targets="coreml", out=tmp_path).complete
