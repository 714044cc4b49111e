"""Sorting, resizes with antialiasing, instance norms of running statistics; and all in one network
in every format."""

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
from lolvit_export.rewrites.antialiased_resize_to_matmul import AntialiasedResizeToMatmul
from lolvit_export.rewrites.instance_norm_to_batch_norm import InstanceNormToBatchNorm
from lolvit_export.rewrites.median_to_sort import MedianToSort
from lolvit_export.rewrites.round_to_floor import RoundToFloor
from lolvit_export.rewrites.rrelu_to_leaky_relu import RreluToLeakyRelu
from lolvit_export.rewrites.sort_to_topk import SortToTopk
from lolvit_export.rewrites.topk_values_by_indices import TopkValuesByIndices
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

sides = st.integers(1, 13)


@some_shapes
@given(sides, sides, sides, sides, st.sampled_from(["bilinear", "bicubic"]), st.booleans())
def test_any_resize_is_two_products(
    height: int, width: int, h: int, w: int, mode: str, corners: bool
) -> None:
    model = Model(lambda m, x: F.interpolate(x, (h, w), None, mode, corners, antialias=True))
    graph, record = rewritten(AntialiasedResizeToMatmul(), model, (height, width))
    assert record.applied == 1
    assert operations(graph) == ["matmul", "permute", "matmul", "permute"]


@pytest.mark.parametrize("factor", [0.5, 0.3, 1.7, (0.4, 2.0)])
def test_a_resize_by_factors_keeps_them(factor: Any) -> None:
    model = Model(lambda m, x: F.interpolate(x, None, factor, "bilinear", antialias=True))
    assert rewritten(AntialiasedResizeToMatmul(), model, (9, 11))[1].applied == 1


@some_shapes
@given(st.integers(-4, 3), st.booleans(), st.sampled_from(["sort", "argsort", "stable"]))
def test_values_and_places_are_sorted_along_any_axis(
    axis: int, descending: bool, kind: str
) -> None:
    def forward(_module: nn.Module, x: Tensor) -> Any:
        if kind == "stable":
            return x.sort(dim=axis, descending=descending, stable=True).values
        found = getattr(x, kind)(dim=axis, descending=descending)
        return found.double() if kind == "argsort" else found.values * found.indices

    graph, record = rewritten(SortToTopk(), Model(forward))
    assert record.applied == 1 and not {"sort", "argsort"} & {*operations(graph)}


def test_places_of_a_stable_sort_stay() -> None:
    model = Model(lambda m, x: x.sort(dim=1, stable=True).indices.double())
    assert match_failures(SortToTopk(), model) == ["the order of equal values is asked for"]


@pytest.mark.parametrize("axis", [1, -1])
def test_the_largest_values_alone_are_taken_from_their_places(axis: int) -> None:
    model = Model(lambda m, x: x.topk(2, axis).values)
    graph, record = rewritten(TopkValuesByIndices(), model)
    assert record.applied == 1 and operations(graph) == ["topk", "getitem", "gather"]
    both = Model(lambda m, x: x.topk(2, axis)[0] * x.topk(2, axis)[1])
    assert rewritten(TopkValuesByIndices(), both)[1].applied == 1
    same = Model(lambda m, x: torch.mul(*x.topk(2, axis)))
    assert match_failures(TopkValuesByIndices(), same) == ["its indices are read too"]


@some_shapes
@given(st.integers(-4, 3), st.booleans(), sides)
def test_any_median_is_the_lower_middle_of_the_sorted(axis: int, kept: bool, width: int) -> None:
    model = Model(lambda m, x: x.median(dim=axis, keepdim=kept).values)
    assert rewritten(MedianToSort(), model, (5, width))[1].applied == 1
    whole = Model(lambda m, x: x.median().expand(1, 1))
    assert rewritten(MedianToSort(), whole, (5, width))[1].applied == 1


@some_shapes
@given(st.integers(-4, 3), st.booleans(), st.integers(1, 3))
def test_a_kth_value_is_one_of_the_sorted(axis: int, kept: bool, place: int) -> None:
    model = Model(
        lambda m, x: x.flatten(0, 1)[None].kthvalue(place if axis % 4 else 1, axis, kept)[0]
    )
    assert rewritten(MedianToSort(), model)[1].applied == 1


def test_a_median_whose_place_is_read_stays() -> None:
    model = Model(lambda m, x: torch.mul(*x.median(dim=1)))
    (reason,) = match_failures(MedianToSort(), model)
    assert reason.startswith("its place is read")


@pytest.mark.parametrize("bounds", [(), (0.1,), (0.1, 0.3)])
def test_a_random_slope_is_its_mean(bounds: tuple[float, ...]) -> None:
    graph, _ = rewritten(RreluToLeakyRelu(), Model(lambda m, x: F.rrelu(x, *bounds)))
    assert operations(graph) == ["leaky_relu"]


NEAR = (0.5, 1.5, 2.5, 0.49999999999999994, 1e6 + 0.5, 3.0, 0.0, 2.4999)


def test_halves_are_rounded_to_the_even_number() -> None:
    values = torch.tensor([*NEAR, *(-each for each in NEAR)], dtype=torch.float64)
    model = Model(lambda m, x: (values + 0 * x.flatten()[:16]).round() + x.flatten()[:16].round())
    graph, record = rewritten(RoundToFloor(), model)
    assert record.applied == 2 and "round" not in operations(graph)


@pytest.mark.parametrize("affine", [True, False])
def test_running_statistics_of_instances_are_those_of_a_batch_norm(affine: bool) -> None:
    layer = nn.InstanceNorm2d(3, affine=affine, track_running_stats=True)
    model = Model(lambda m, x: m.layer(x), layer=layer)
    layer.running_mean.uniform_(-1, 1)
    layer.running_var.uniform_(0.5, 2)
    graph, record = rewritten(InstanceNormToBatchNorm(), model)
    assert record.applied == 1 and operations(graph) == ["batch_norm"]


def test_an_images_own_statistics_stay() -> None:
    model = Model(lambda m, x: m.layer(x), layer=nn.InstanceNorm2d(3))
    assert rewritten(InstanceNormToBatchNorm(), model)[1].applied == 0


class Ranked(nn.Module):
    """Ranks the channels' means of a map that is normalized and made smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, image: Tensor) -> Tensor:
        smaller = F.interpolate(image, scale_factor=0.4, mode="bicubic", antialias=True)
        return self.norm(self.conv(smaller)).mean((2, 3)).sort(1).values


@pytest.mark.slow
def test_a_network_with_all_three_reaches_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(Ranked(), size=32, targets="onnx,tflite,coreml", out=tmp_path)
    assert len(exported.manifest.artifacts) == 3
