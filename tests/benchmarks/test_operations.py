"""Summing a profile: multiply-adds from shapes, whose they are, and the tables' sums."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit_benchmarks.profiling.onnx_layers import Layer, macs, named, values_of
from lolvit_benchmarks.profiling.operations import (
    NO_STAGE,
    Operation,
    Recorded,
    layers_by_operation,
    macs_notes,
    stages_of,
    summarise,
)


def layer(name: str, macs: int = 0, readers: tuple[str, ...] = (), detail: str = "") -> Layer:
    return Layer(name=name, detail=detail, macs=macs, values=(name,), readers=readers)


def operation(ms: float, name: str = "", kind: str = "Conv") -> Operation:
    path = name.rpartition("/")[0]
    return Operation(kind=kind, ms=ms, path=path, layers=(name,) if name else ())


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "attributes", "expected"),
    [
        # 3x3 over 5 channels to 7, 4x6 positions: 7·24 results of 45 products each
        ("Conv", [(1, 5, 6, 8), (7, 5, 3, 3)], (1, 7, 4, 6), {}, 7 * 24 * 45),
        ("Conv", [(1, 8, 4, 4), (8, 1, 3, 3), (8,)], (1, 8, 4, 4), {"group": 8}, 8 * 16 * 9),
        ("Conv", [(1, 8, 4, 4), (4, 4, 1, 1)], (1, 4, 4, 4), {"group": 2}, 4 * 16 * 4),
        ("ConvTranspose", [(1, 5, 4, 4), (5, 7, 2, 2)], (1, 7, 8, 8), {}, 5 * 16 * 7 * 4),
        ("MatMul", [(1, 2, 3, 5), (1, 2, 5, 7)], (1, 2, 3, 7), {}, 2 * 3 * 7 * 5),
        ("MatMul", [(4, 3, 5), (5, 7)], (4, 3, 7), {}, 4 * 3 * 7 * 5),
        ("Gemm", [(2, 5), (7, 5), (7,)], (2, 7), {"transB": 1}, 2 * 7 * 5),
        ("Gemm", [(5, 2), (5, 7)], (2, 7), {"transA": 1}, 2 * 7 * 5),
        # 3 batches of 4 tokens of 6 channels: q, k, v of 6, then scores and values 4·4·6 each
        ("com.microsoft.Attention", [(3, 4, 6), (6, 18), (18,)], None, {},
         3 * (4 * 6 * 18 + 2 * 4 * 4 * 6)),
        # queries and keys of 2 channels, values of 5
        ("com.microsoft.Attention", [(1, 4, 6), (6, 9)], None, {"qkv_hidden_sizes": [2, 2, 5]},
         4 * 6 * 9 + 4 * 4 * 2 + 4 * 4 * 5),
        ("Relu", [(1, 8, 4, 4)], (1, 8, 4, 4), {}, 0),
        ("Concat", [(1, 8, 4, 4), (1, 8, 4, 4)], (1, 16, 4, 4), {}, 0),
        ("Conv", [None, (7, 5, 3, 3)], (1, 7, 4, 6), {}, 0),
        ("MatMul", [(4, 3, 5), (5, 7)], None, {}, 0),
    ],
)  # fmt: skip
def test_multiply_adds_follow_from_shapes(kind, inputs, output, attributes, expected) -> None:
    assert macs(kind, inputs, [output], attributes) == expected


def test_a_fused_layer_belongs_to_the_operation_named_after_what_reads_it() -> None:
    layers = [
        layer("stem/conv", 100, ("stem/add",)),
        layer("stem/add", 0, ("stem/relu",)),
        layer("stem/relu", 0, ("stages.0/conv",)),
        layer("stages.0/conv", 50, ()),
    ]
    operations = [operation(1, "stem/relu"), operation(1, "stages.0/conv"), operation(1)]
    owned = layers_by_operation(operations, layers)
    assert [[one.name for one in group] for group in owned] == [
        ["stem/conv"], ["stages.0/conv"], []
    ]  # fmt: skip


@given(st.data())
def test_every_layer_belongs_to_one_operation_at_most_and_sums_keep_it(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    names = [f"stages.{n % 3}.{n}/op{n}" for n in range(count)]
    layers = [
        layer(
            name,
            data.draw(st.integers(0, 10**9)),
            tuple(data.draw(st.lists(st.sampled_from(names[n + 1 :]), max_size=2)))
            if names[n + 1 :]
            else (),
        )
        for n, name in enumerate(names)
    ]
    kept = data.draw(st.lists(st.sampled_from(names), unique=True))
    some_ms = st.floats(1e-3, 1e3)
    operations = [operation(data.draw(some_ms), name) for name in kept]
    operations += [
        operation(data.draw(some_ms), kind="Reorder") for _ in range(data.draw(st.integers(1, 3)))
    ]
    recorded = Recorded(runs=5, run_ms=1.0, operations=tuple(operations), layers=tuple(layers))
    found = [one.name for group in layers_by_operation(operations, layers) for one in group]
    assert len(found) == len(set(found))
    if not any(one.macs for one in layers):
        return
    profile = summarise(recorded, median_ms=2.0, roofline=50.0)
    for rows in (profile.operations, profile.stages):
        assert math.isclose(sum(row.share for row in rows), 1)
        assert math.isclose(sum(row.ms for row in rows), profile.operations_ms)
        assert sum(row.macs for row in rows) == sum(one.macs for one in layers if one.name in found)
    assert sum(row.calls for row in profile.operations) == len(operations)
    assert 0 < profile.without_macs_share <= 1 + 1e-9
    assert profile.macs == sum(one.macs for one in layers)
    assert math.isclose(profile.gmacs_per_s, profile.macs / 2.0 / 1e6)
    assert math.isclose(profile.roofline_share * 50, profile.gmacs_per_s)


def test_kinds_are_distinguished_by_kernel_and_sorted_by_time() -> None:
    layers = (
        layer("a/wide", 30_000_000, detail="1x1"),
        layer("a/deep", 2_000_000, detail="3x3 depthwise"),
    )
    operations = (operation(1.0, "a/deep"), operation(3.0, "a/wide"), operation(0.5, kind="Concat"))
    profile = summarise(Recorded(runs=1, run_ms=5.0, operations=operations, layers=layers), 4.0, 10)
    assert [(time.kind, time.ms) for time in profile.operations] == [
        ("Conv 1x1", 3.0), ("Conv 3x3 depthwise", 1.0), ("Concat", 0.5)
    ]  # fmt: skip
    assert profile.without_macs_share == pytest.approx(0.5 / 4.5)
    assert profile.gmacs_per_s == pytest.approx(8.0)
    assert profile.stages[0].gmacs_per_s == pytest.approx(8.0)
    assert [time.stage for time in profile.stages] == ["a", NO_STAGE]


def test_an_operation_that_multiplies_under_another_name_is_not_counted_as_overhead() -> None:
    operations = (
        operation(1.0, "a/conv"),
        Operation(kind="FullyConnected", ms=3.0, path="a", layers=(), multiplies=True),
    )
    recorded = Recorded(
        runs=1, run_ms=5.0, operations=operations, layers=(layer("a/conv", 1_000_000),)
    )
    assert summarise(recorded, 4.0, 10).without_macs_share == 0


def test_numbered_parts_that_have_parts_are_stages_and_others_are_whole() -> None:
    lolvit = ["stem.0", "stem.1", "stages.0.0.expand", "stages.10.1", "", "head"]
    assert list(stages_of(lolvit).values()) == [
        "stem", "stem", "stages.0", "stages.10", NO_STAGE, "head"
    ]  # fmt: skip
    assert stages_of(["blocks.1.attn.qkv", "blocks.1"]) == {
        "blocks.1.attn.qkv": "blocks.1", "blocks.1": "blocks.1"
    }  # fmt: skip
    assert stages_of(["layer1.0.conv1"]) == {"layer1.0.conv1": "layer1.0"}
    assert stages_of(["final_conv.bn.act"]) == {"final_conv.bn.act": "final_conv"}


def test_a_runtimes_suffix_does_not_hide_the_layer_nor_mix_it_up() -> None:
    by_value = values_of([layer("a/conv_1"), layer("a/conv_12"), layer("a/conv")])
    for name, expected in (
        ("a/conv_12_nchwc", "a/conv_12"),
        ("a/conv_1/MatmulTransposeFusion/", "a/conv_1"),
        ("a/conv_token_12", "a/conv"),
        ("a/conv_12", "a/conv_12"),
    ):
        found = named(name, by_value)
        assert found is not None and found.name == expected
    for name in ("ReorderInput_token_3", "a/convolution", ""):
        assert named(name, by_value) is None


def test_multiply_adds_that_differ_or_have_no_owner_are_said() -> None:
    layers = (layer("a/conv", 100_000_000), layer("b/conv", 7_000_000))
    whole = Recorded(
        runs=1, run_ms=1, operations=(operation(1, "a/conv"), operation(1, "b/conv")), layers=layers
    )
    assert macs_notes("x", whole, 107_500_000) == []
    (note,) = macs_notes("x", whole, 110_000_000)
    assert note == (
        "x: 107.0 M multiply-adds were counted in the artifact, its manifest says 110.0 M."
    )
    part = whole.model_copy(update={"operations": (operation(1, "a/conv"),)})
    (note,) = macs_notes("x", part, 107_000_000)
    assert note.startswith("x: 7.0 M multiply-adds belong to no operation")
