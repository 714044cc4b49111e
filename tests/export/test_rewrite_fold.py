"""Folds as pixel shuffles, and one in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import lolvit
from lolvit_export.rewrites.fold_to_pixel_shuffle import FoldToPixelShuffle
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

sides = st.tuples(st.integers(1, 4), st.integers(1, 4))
paddings = st.tuples(st.integers(0, 3), st.integers(0, 3))


def folds(size: tuple[int, int], kernel: tuple[int, int], **options: Any) -> Model:
    """Patches of an image, each value another share of it, added at their places."""

    def forward(module: nn.Module, x: Tensor) -> Tensor:
        columns = F.unfold(x, kernel, **options)
        shares = torch.linspace(0.5, 1.5, columns[0].numel(), dtype=x.dtype)
        return F.fold(columns * shares.view_as(columns[0]), size, kernel, **options)

    return Model(forward)


@some_shapes
@given(st.tuples(st.integers(4, 9), st.integers(4, 9)), sides, paddings, st.integers(1, 4))
def test_patches_of_any_size_stride_and_padding_are_added(
    size: tuple[int, int], kernel: tuple[int, int], padding: tuple[int, int], stride: int
) -> None:
    model = folds(size, kernel, stride=stride, padding=padding)
    graph, record = rewritten(FoldToPixelShuffle(), model, size)
    assert record.applied == 1 and "col2im" not in operations(graph)


def test_patches_without_a_batch_are_added() -> None:
    model = Model(lambda m, x: F.fold(F.unfold(x[0], 2, stride=2), (8, 8), 2, stride=2)[None])
    assert rewritten(FoldToPixelShuffle(), model, (8, 8))[1].applied == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"dilation": 2}, "its patches are dilated"), ({"stride": (1, 2)}, "it has two strides")],
)
def test_other_patches_are_left(options: dict[str, Any], reason: str) -> None:
    assert match_failures(FoldToPixelShuffle(), folds((8, 8), (2, 2), **options), (8, 8)) == [
        reason
    ]


class Overlapping(nn.Module):
    """Patches of 3 x 3 pixels, one for every second, as in VOLO's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        columns = F.unfold(self.first(image), 3, padding=1, stride=2)
        columns = columns * columns.softmax(1)
        return self.last(F.fold(columns, image.shape[-2:], 3, padding=1, stride=2))


@pytest.mark.slow
def test_a_fold_reaches_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(
        Overlapping().eval(), size=(25, 32), targets=["onnx", "tflite", "coreml"], out=tmp_path
    )
    assert len(exported.manifest.artifacts) == 3
