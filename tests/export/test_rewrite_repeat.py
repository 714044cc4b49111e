"""Repetitions as concatenations, and what TFLite computes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.rewrites.repeat_to_cat import RepeatToCat
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes


@some_shapes
@given(st.lists(st.integers(1, 3), min_size=4, max_size=5))
def test_any_counts_give_the_same(counts: list[int]) -> None:
    graph, record = rewritten(RepeatToCat(), Model(lambda m, x: x.repeat(counts).relu()))
    assert record.applied == 1 and "repeat" not in operations(graph)
    assert operations(graph).count("cat") == sum(count > 1 for count in counts)


def test_none_at_all_stays() -> None:
    model = Model(lambda m, x: x.repeat(1, 0, 1, 1).sum())
    assert match_failures(RepeatToCat(), model) == ["it is empty"]


class Repeats(nn.Module):
    """A map that is repeated downwards between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.first(image).repeat(1, 1, 2, 1))


@pytest.mark.slow
def test_tflite_repeats_the_axis_that_pytorch_repeats(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(
        Repeats().eval(), size=(30, 40), targets=["tflite"], precision=["fp32"], out=tmp_path
    )
    (artifact,) = exported.manifest.artifacts
    assert all(gate.passed for gate in artifact.gates)  # before, an output of (30, 80)
