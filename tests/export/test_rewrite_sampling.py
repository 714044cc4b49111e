"""Grids of affine transforms and deformable convolutions."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from lolvit_export.rewrites.affine_grid_to_matmul import AffineGridToMatmul
from lolvit_export.rewrites.deform_conv_to_grid_sample import DeformConvToGridSample
from lolvit_export.rewrites.nearest_sample_to_bilinear import NearestSampleToBilinear
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes

sides = st.integers(1, 13)


@some_shapes
@given(sides, sides, sides, sides, st.booleans())
def test_an_affine_grid_is_a_product(h: int, w: int, height: int, width: int, align: bool) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        theta = x.mean((2, 3))[:, :, None].expand(1, 3, 2).permute(0, 2, 1)
        return F.affine_grid(theta.cos(), [1, 5, height, width], align)

    graph, record = rewritten(AffineGridToMatmul(), Model(forward), (h, w))
    assert record.applied == 1 and "affine_grid_generator" not in operations(graph)


@some_shapes
@given(
    st.integers(5, 9), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(1, 2),
    st.integers(0, 2), st.integers(1, 2), st.sampled_from([1, 2]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_deformable_convolution_is_samples_and_a_projection(
    side: int, kernel: Any, stride: int, padding: int, dilation: int, parts: int, masked: bool,
    grouped: bool,
) -> None:  # fmt: skip
    places = kernel[0] * kernel[1]

    def forward(module: Any, x: Tensor) -> Tensor:
        x = torch.cat([x, x.cos()[:, :1]], 1)
        steps = {"stride": (stride, 1), "padding": (padding, 1), "dilation": (1, dilation)}
        height, width = F.conv2d(x, module.weight[:1, :1].expand(1, 4, -1, -1), **steps).shape[2:]
        moved = F.adaptive_avg_pool2d(module.move(x), (height, width))
        mask = moved[:, : parts * places].sigmoid() if masked else None
        return deform_conv2d(x, moved * 3, module.weight, module.bias, mask=mask, **steps)

    weight = nn.Parameter(torch.empty(6, 2 if grouped else 4, *kernel))
    move = nn.Conv2d(4, 2 * parts * places, 1)
    model = Model(forward, move=move, weight=weight, bias=nn.Parameter(torch.empty(6)))
    graph, record = rewritten(DeformConvToGridSample(), model, (side, side + 2))
    assert record.applied == 1 and "deform_conv2d" not in operations(graph)


@some_shapes
@given(sides, sides, st.sampled_from(["zeros", "border"]), st.booleans())
def test_nearest_pixels_are_mixtures_at_whole_coordinates(
    height: int, width: int, padding: str, align: bool
) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        grid = (x[:, :2] * 1.5).permute(0, 2, 3, 1)
        return x + F.grid_sample(x, grid, "nearest", padding, align)

    graph, record = rewritten(NearestSampleToBilinear(), Model(forward), (height, width))
    (sample,) = nodes(graph, "grid_sampler")
    assert record.applied == 1 and sample.args[2] == 0


def test_nearest_pixels_of_a_reflection_stay() -> None:
    model = Model(
        lambda m, x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), "nearest", "reflection", True)
    )
    assert match_failures(NearestSampleToBilinear(), model) == ["it is reflected"]
