"""pad_avg_pool_to_divisible: equal to the ragged pools that it replaces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lolvit_export.rewrites.pad_avg_pool_to_divisible import PadAvgPoolToDivisible
from tests.export.rewriting import Model, match_failures, nodes, operations, rewritten, some_shapes
from tests.export.static_form import violations

REWRITE = PadAvgPoolToDivisible()
extents = st.integers(1, 40)
windows = st.integers(1, 8)


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
