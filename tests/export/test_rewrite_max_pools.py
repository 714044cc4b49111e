"""Maximum pools with dilation or padding, or without a stride, and unpools; a SegNet everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import lolvit
from lolvit_export.rewrites.dilated_max_pool_to_slices import DilatedMaxPoolToSlices
from lolvit_export.rewrites.explicit_pool_stride import ExplicitPoolStride
from lolvit_export.rewrites.max_unpool_to_masks import MaxUnpoolToMasks
from lolvit_export.rewrites.padded_max_pool_to_cat import PaddedMaxPoolToCat
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes

axes = st.integers(-4, 3)


@some_shapes
@given(
    st.tuples(st.integers(5, 13), st.integers(5, 13)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
)
def test_a_dilated_pool_is_maxima_of_slices(
    size: Any, window: Any, stride: Any, dilation: Any, ceil: bool
) -> None:
    assume(dilation != (1, 1))
    assume(all(s > (w - 1) * d for s, w, d in zip(size, window, dilation, strict=True)))
    padding = tuple(each // 2 for each in window)
    pool = nn.MaxPool2d(window, stride, padding, dilation, ceil_mode=ceil)
    graph, record = rewritten(DilatedMaxPoolToSlices(), Model(lambda m, x: pool(x)), size)
    assert record.applied == 1 and "max_pool2d" not in operations(graph)


@some_shapes
@given(st.integers(4, 13), st.integers(4, 13), st.integers(2, 4), st.booleans())
def test_an_unpool_puts_the_first_of_equal_maxima_back(
    height: int, width: int, side: int, changed: bool
) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        pooled, places = F.max_pool2d(x.relu(), side, return_indices=True)
        size = {"output_size": x.shape[2:]}
        return F.max_unpool2d(pooled.cos() + 2 if changed else pooled, places, side, **size)

    graph, record = rewritten(MaxUnpoolToMasks(), Model(forward), (height, width))
    assert record.applied == 1
    assert not {"max_unpool2d", "max_pool2d_with_indices"} & {*operations(graph)}


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        ({"kernel_size": 4, "stride": 2}, "the windows overlap, are padded or not square"),
        ({"kernel_size": (2, 4)}, "the windows overlap, are padded or not square"),
        ({"kernel_size": 2}, "it has another size than what was pooled"),
    ],
)
def test_other_unpools_stay(pool: dict[str, Any], reason: str) -> None:
    def forward(_module: Any, x: Tensor) -> Tensor:
        pooled, places = F.max_pool2d(x, return_indices=True, **pool)
        return F.max_unpool2d(
            pooled, places, output_size=(9, 8 if pool == {"kernel_size": (2, 4)} else 9), **pool
        )

    assert match_failures(MaxUnpoolToMasks(), Model(forward)) == [reason]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_pools_stride_is_its_window(axes: int) -> None:
    pool = getattr(F, f"max_pool{axes}d")
    model = Model(lambda m, x: pool(x.flatten(2) if axes == 1 else x, 2))
    graph, record = rewritten(ExplicitPoolStride(), model)
    assert record.applied == 1
    (made,) = nodes(graph, f"max_pool{axes}d")
    assert made.args[2] == made.args[1]
    with_places = Model(
        lambda m, x: torch.cat([*map(Tensor.double, F.max_pool2d(x, 2, return_indices=True))])
    )
    assert rewritten(ExplicitPoolStride(), with_places)[1].applied == 1


@some_shapes
@given(
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    st.sampled_from([0.0, 0.5, None]),
    st.booleans(),
)
def test_constants_are_joined_to_a_padded_map(
    pads: list[int], value: float | None, short: bool
) -> None:
    pads = pads[:2] if short else pads
    model = Model(lambda m, x: F.max_pool2d(F.pad(x - 1, pads, value=value), 3, 2))
    assume(any(pads))
    graph, record = rewritten(PaddedMaxPoolToCat(), model, (6, 7))
    assert record.applied == 1 and "pad" not in operations(graph)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: F.pad(x.relu(), (1, 1, 1, 1)), "it has no negative values"),
        (lambda x: F.pad(x, (1, -1, 1, 1)), "a pad is negative"),
        (lambda x: F.pad(x, (1, 1, 1, 1), "replicate"), "it is not padded by a constant"),
    ],
)
def test_padding_that_a_pool_may_have_itself_stays(function: Any, reason: str) -> None:
    model = Model(lambda m, x: F.max_pool2d(function(x), 3, 2))
    assert match_failures(PaddedMaxPoolToCat(), model) == [reason]


def test_onnx_runtime_takes_a_padded_maximum_of_negative_values(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
    nn.init.constant_(model[0].bias, -5.0)
    exported = lolvit.export(model, size=16, targets="onnx", out=tmp_path)
    assert len(exported.manifest.artifacts) == 1


class Unpooled(nn.Module):
    """A small SegNet (arXiv 1511.00561) with a dilated pool, whose features are multiplied,
    compared and cut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.back = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.compared = nn.Bilinear(8, 8, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(image).relu()
        pooled, places = F.max_pool2d(x, 2, return_indices=True)
        pooled = F.pad(F.max_pool2d(pooled, 3, 1, 1, dilation=2), (1, 1, 1, 1)) - pooled
        x = self.back(F.max_unpool2d(pooled, places, 2, output_size=x.shape[2:]))
        x = F.pad(x, (-1, -2, 1, -1)).index_fill(1, torch.tensor([2, 5]), 0.25)
        return x, self.compared(x.mean((2, 3)), (x.tanh() + 1).mean(2).prod(2))


@pytest.mark.slow
def test_a_network_with_all_of_them_reaches_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = lolvit.export(Unpooled(), size=(30, 33), targets="onnx,tflite,coreml", out=tmp_path)
    for artifact in exported.manifest.artifacts:
        assert min(g.value for g in artifact.gates if g.name.endswith(".snr_db")) > 100
    assert len(exported.manifest.artifacts) == 3
