"""pad_avg_pool_to_divisible and padded_avg_pool_to_depthwise_conv: equal to the ragged pools that
they replace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lolvit.manifest import Signature, TensorSpec
from lolvit_export.capture import capture
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.lowering.tflite import lower
from lolvit_export.rewrites import apply_all
from lolvit_export.rewrites.pad_avg_pool_to_divisible import PadAvgPoolToDivisible
from lolvit_export.rewrites.padded_avg_pool_to_depthwise_conv import PaddedAvgPoolToDepthwiseConv
from tests.export.rewriting import (
    BOUND,
    Model,
    image_like,
    match_failures,
    nodes,
    operations,
    relative_error,
    rewritten,
    some_shapes,
)
from tests.export.small_net import PREPROCESS
from tests.export.static_form import violations

REWRITE, AS_CONVOLUTION = PadAvgPoolToDivisible(), PaddedAvgPoolToDepthwiseConv()
extents = st.integers(1, 40)
windows = st.integers(1, 8)


padded = torch.ops.aten.constant_pad_nd  # F.pad is captured as another operation


def pooled(*window: int, **options: Any) -> Model:
    return Model(lambda m, x: F.avg_pool2d(x, window, **options))


@some_shapes
@given(extents, extents, windows, windows, st.booleans(), st.booleans())
def test_windows_cut_short_by_the_border_keep_their_average(
    height: int, width: int, tall: int, wide: int, ceil: bool, pads_count: bool
) -> None:
    tall, wide = min(tall, height), min(wide, width)  # floor mode refuses a window with no place
    model = pooled(tall, wide, ceil_mode=ceil, count_include_pad=pads_count)
    graph, record = rewritten(REWRITE, model, (height, width))
    assert record.match_failures == () and violations(graph) == []
    for pool in nodes(graph, "avg_pool2d"):
        source = pool.args[0].meta["val"].shape[-2:]
        for stride in pool.args[2:3]:  # none given, or an empty one: the window's own
            assert list(stride) in ([], pool.args[1])
        assert [extent % k for extent, k in zip(source, pool.args[1], strict=True)] == [0, 0]


@some_shapes
@given(extents, extents, windows)
def test_a_window_larger_than_the_map_averages_all_of_it(
    height: int, width: int, beyond: int
) -> None:
    model = pooled(height + beyond, width + beyond, ceil_mode=True)
    graph, record = rewritten(REWRITE, model, (height, width))
    assert record.applied == 1 and violations(graph) == []


@some_shapes
@given(st.integers(1, 8), st.integers(1, 8), windows, windows)
def test_adaptive_windows_of_one_size_become_exact(
    rows: int, columns: int, tall: int, wide: int
) -> None:
    model = Model(lambda m, x: F.adaptive_avg_pool2d(x, (rows, columns)))
    graph, record = rewritten(REWRITE, model, (rows * tall, columns * wide))
    assert record.applied == ((rows, columns) != (1, 1))
    assert violations(graph) == []


def test_a_ragged_pool_is_pad_pool_and_one_constant_map() -> None:
    graph, record = rewritten(REWRITE, pooled(3, 3, ceil_mode=True), (8, 10))
    assert operations(graph) == ["constant_pad_nd", "avg_pool2d", "mul"]
    assert nodes(graph, "constant_pad_nd")[0].args[1] == [0, 2, 0, 1]
    assert record.sites == ("avg_pool2d",)
    coverage = nodes(graph, "mul")[0].args[1].meta["val"]
    assert tuple(coverage.shape) == (1, 1, 3, 4)


def test_floor_mode_cuts_off_what_no_window_reads() -> None:
    graph, _ = rewritten(REWRITE, pooled(3, 3), (8, 9))
    assert operations(graph) == ["slice", "avg_pool2d"]


def test_divisible_extents_lose_their_flags_alone() -> None:
    graph, _ = rewritten(REWRITE, pooled(4, 2, ceil_mode=True), (8, 6))
    assert operations(graph) == ["avg_pool2d"]
    assert list(nodes(graph, "avg_pool2d")[0].args[1:]) == [[4, 2], [4, 2]]


def test_a_map_without_batch_is_pooled_too() -> None:
    model = Model(lambda m, x: F.avg_pool2d(x[0], 3, ceil_mode=True))
    _, record = rewritten(REWRITE, model, (8, 10))
    assert record.applied == 1
    floor = Model(lambda m, x: F.avg_pool2d(x[0], 3))
    assert rewritten(REWRITE, floor, (8, 10))[1].applied == 1


def test_each_pool_has_a_map_of_its_own() -> None:
    def twice(_: Any, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(x, 3, ceil_mode=True), 2, ceil_mode=True)

    graph, record = rewritten(REWRITE, Model(twice), (8, 13))
    assert record.applied == 2 and len(set(dict(graph.named_buffers()))) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stride": 1}, "windows overlap or leave gaps: kernel (3, 3), stride (1, 1)"),
        ({"stride": 4}, "windows overlap or leave gaps: kernel (3, 3), stride (4, 4)"),
        ({"stride": (3, 2)}, "windows overlap or leave gaps: kernel (3, 3), stride (3, 2)"),
        ({"padding": 1}, "windows are padded on both sides"),
        ({"padding": 1, "count_include_pad": False}, "windows are padded on both sides"),
        ({"divisor_override": 5}, "the divisor is overridden"),
        ({"divisor_override": 9, "ceil_mode": True}, "the divisor is overridden"),
    ],
    ids=str,
)
def test_other_windows_are_left_alone(options: dict[str, Any], reason: str) -> None:
    assert match_failures(REWRITE, pooled(3, 3, **options), (9, 9)) == [reason]


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (3, 3)])
def test_adaptive_windows_of_several_sizes_are_left_alone(size: tuple[int, int]) -> None:
    model = Model(lambda m, x: F.adaptive_avg_pool2d(x, (4, 4)))
    assert match_failures(REWRITE, model, size) == ["adaptive windows overlap or differ in size"]


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: F.avg_pool2d(x, 2),
        lambda m, x: F.adaptive_avg_pool2d(x, 1),
        lambda m, x: F.max_pool2d(x, 3, ceil_mode=True),
    ],
    ids=["exact", "global", "maximum"],
)
def test_pools_that_are_no_matter_of_this_rewrite_are_not_reported(forward: Any) -> None:
    assert match_failures(REWRITE, Model(forward), (8, 8)) == []


@some_shapes
@given(extents, extents, windows, windows)
def test_pools_of_zeros_behind_a_map_are_convolutions_that_pad_themselves(
    height: int, width: int, tall: int, wide: int
) -> None:
    tall, wide = min(tall, height), min(wide, width)
    model = pooled(tall, wide, ceil_mode=True, count_include_pad=False)
    ragged = bool(height % tall or width % wide)
    before, _ = apply_all([REWRITE], capture(model, (height, width)))
    assert ("constant_pad_nd" in operations(before)) == ragged
    after, (record,) = apply_all([AS_CONVOLUTION], before)
    assert record.applied == ragged and record.match_failures == ()
    image = image_like(before)
    assert relative_error(after(image), model(image)) <= BOUND
    assert ("conv2d" in operations(after)) == ragged
    assert "constant_pad_nd" not in operations(after)


@pytest.mark.parametrize(
    ("pads", "value", "window", "reason"),
    [
        ((1, 0, 1, 0), 0.0, 3, "its map is padded with other than zeros behind it"),
        ((0, -1, 0, -1), 0.0, 7, "its map is padded with other than zeros behind it"),
        ((0, 1, 0, 1), 2.0, 3, "its map is padded with other than zeros behind it"),
        ((0, 1, 0, 1, 0, 1), 0.0, 3, "its map is padded with other than zeros behind it"),
        ((0, 2, 0, 2), 0.0, 3, "its windows are not exact"),
    ],
    ids=str,
)
def test_pools_of_maps_padded_otherwise_stay(
    pads: tuple[int, ...], value: float, window: int, reason: str
) -> None:
    model = Model(lambda m, x: F.avg_pool2d(padded(x, pads, value), window))
    assert match_failures(AS_CONVOLUTION, model) == [reason]


def test_a_padded_map_without_batch_is_pooled_as_it_was() -> None:
    model = Model(lambda m, x: F.avg_pool2d(padded(x[0], (0, 1, 0, 1), 0.0), 3))
    assert match_failures(AS_CONVOLUTION, model) == ["its map has no batch"]


def test_in_tflite_no_map_is_moved_for_a_ragged_pool(tmp_path: Path) -> None:
    first, last = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 8, 1)

    def forward(m: Any, x: Tensor) -> Tensor:
        windows = F.avg_pool2d(m.first(x), 3, ceil_mode=True, count_include_pad=False)
        averaged: Tensor = m.last(windows).mean((2, 3))
        return averaged

    model = Model(forward, first=first, last=last).float()
    graph, _ = apply_all([REWRITE], capture(model, (8, 8)))
    image = TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW", meaning="normalized")
    logits = TensorSpec(name="logits", shape=(1, 8), layout="NC", meaning="logits")
    signature = Signature(inputs=(image,), outputs=(logits,))
    (lowered,) = lower(graph, LoweringRequest(tmp_path, "tflite", ("fp32",), signature, PREPROCESS))
    interpreter = Interpreter(str(lowered.path))
    interpreter.allocate_tensors()
    kinds = [each["op_name"] for each in interpreter._get_ops_details()]
    assert "DEPTHWISE_CONV_2D" in kinds and not {"PAD", "PADV2", "AVERAGE_POOL_2D"} & set(kinds)
    pixels = torch.rand(1, 3, 8, 8)
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], pixels.permute(0, 2, 3, 1).numpy()
    )
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert relative_error(torch.from_numpy(found), model(pixels).detach()) <= 1e-5
    assert kinds.count("TRANSPOSE") <= 1  # for the mean
