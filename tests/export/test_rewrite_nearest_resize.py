"""Nearest-neighbour resizes as selections of rows and columns, and what TFLite computes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.rewrites.nearest_resize_to_gather import NearestResizeToGather
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

RESIZE = NearestResizeToGather()
sides = st.integers(1, 13)


@some_shapes
@given(sides, sides, sides, sides)
def test_any_two_sizes_give_the_same_pixels(height: int, width: int, tall: int, wide: int) -> None:
    model = Model(lambda m, x: F.interpolate(x, size=(tall, wide), mode="nearest").relu())
    graph, record = rewritten(RESIZE, model, (height, width))
    if record.applied:
        assert operations(graph) == ["index_select", "index_select", "relu"]
    else:
        assert tall % height == 0 and wide % width == 0


@some_shapes
@given(st.floats(0.3, 3.0), sides)
def test_a_factor_that_is_no_integer_takes_the_pixels_that_pytorch_takes(
    factor: float, side: int
) -> None:
    if int(side * factor) < 1:
        return
    rewritten(RESIZE, Model(lambda m, x: F.interpolate(x, scale_factor=factor)), (side, side + 1))


def test_enlarging_by_an_integer_stays() -> None:
    model = Model(lambda m, x: F.interpolate(x, scale_factor=2, mode="nearest").relu())
    assert match_failures(RESIZE, model) == ["enlarges by an integer"]


class Gate(nn.Module):
    """A map of odd sides, scaled by its own halved one: as GhostNetV2 does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        large = self.stem(image)
        small = F.avg_pool2d(large, 2, 2)
        return large * F.interpolate(small, size=large.shape[-2:], mode="nearest").sigmoid()


@pytest.mark.slow
def test_tflite_computes_the_pixels_of_pytorch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(
        Gate().eval(), size=46, targets=["tflite"], precision=["fp32"], out=tmp_path
    )
    gates = {each.name: each.value for each in exported.manifest.artifacts[0].gates}
    assert gates["litert.snr_db"] > 120  # with half-pixel centres 15
    assert gates["litert-reference.snr_db"] > 120
