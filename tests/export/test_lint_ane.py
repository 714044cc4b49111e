"""The Neural Engine's rules, on packages that coremltools wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit_export.lint import ACCELERATORS, Finding, lint, read
from lolvit_runtimes.coreml_tools import coremltools as ct

mb = ct.converters.mil.Builder
MAP = (1, 4, 6, 8)
WIDE = np.zeros((4, 4, 1, 20), np.float32)
WIDE_A13 = np.zeros((4, 4, 1, 15), np.float32)
POINT = np.zeros((4, 4, 1, 1), np.float32)
Build = Callable[[Any], Any]


def _padded(x: Any, *pads: int, mode: str = "constant") -> Any:
    return mb.pad(x=x, pad=list(pads), mode=mode)


# name: (operation on `x` of MAP, the rule that it breaks, or None)
CASES: dict[str, tuple[Build, str | None]] = {
    "relu": (lambda x: mb.relu(x=x), None),
    "conv": (lambda x: mb.conv(x=x, weight=POINT), None),
    "conv_20_wide": (lambda x: mb.conv(x=x, weight=WIDE, pad_type="same"), "kernel-width"),
    "product": (lambda x: mb.reduce_prod(x=x, axes=[1], keep_dims=True), "operator"),
    "rank_5": (lambda x: mb.reshape(x=x, shape=[1, 2, 2, 6, 8]), None),
    "product_of_rank_5": (
        lambda x: mb.matmul(x=mb.reshape(x=x, shape=[1, 2, 2, 6, 8]),
                            y=np.ones((1, 2, 2, 8, 6), np.float32)), "rank-4",
    ),
    "product_of_rank_4": (lambda x: mb.matmul(x=x, y=np.ones((1, 4, 8, 6), np.float32)), None),
    "pad_height_and_width": (lambda x: _padded(x, 0, 1, 0, 2), None),
    "pad_channels": (lambda x: _padded(x, 0, 0, 0, 4, 0, 0, 0, 0), "pad-axes"),
    "pool": (lambda x: mb.avg_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
             None),
    "long": (lambda x: mb.tile(x=x, reps=[1, 1, 1, 3000]), "size"),
    "argument_of_many": (
        lambda x: mb.reduce_argmax(x=mb.reshape(x=mb.tile(x=x, reps=[1, 1, 1, 12]),
                                                shape=[1, 2304]), axis=1), "argument-length",
    ),
}  # fmt: skip
ADVICE: dict[str, tuple[Build, str | None]] = {
    "relu": (lambda x: mb.relu(x=x), None),
    "sine": (lambda x: mb.sin(x=x), "generation"),
    "conv_15_wide": (lambda x: mb.conv(x=x, weight=WIDE_A13, pad_type="same"), "kernel-width-a13"),
    "pad_by_reflection": (lambda x: _padded(x, 1, 1, 1, 1, mode="reflect"), "padding-mode"),
    "sum_of_the_last_axis": (
        lambda x: mb.reduce_sum(x=x, axes=[3], keep_dims=True), "singleton-last-axis",
    ),
    "sum_of_rows": (lambda x: mb.reduce_sum(x=x, axes=[2], keep_dims=True), None),
    "cast_to_integers": (lambda x: mb.cast(x=x, dtype="int32"), "integers"),
}  # fmt: skip


def package(build: Build, path: Path, precision: str = "fp16") -> Path:
    """Convert an operation on `x` and save it."""

    @mb.program(input_specs=[mb.TensorSpec(shape=MAP)], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        return build(x)

    half, single = ct.precision.FLOAT16, ct.precision.FLOAT32
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=half if precision == "fp16" else single,
    )
    model.save(str(path))
    return path


def found_in(path: Path, severity: str) -> list[Finding]:
    found = lint(read(path, "coreml"), ACCELERATORS["ane"])
    return [finding for finding in found if finding.severity == severity]


@pytest.mark.parametrize(("build", "rule"), CASES.values(), ids=list(CASES))
def test_each_finding_has_its_case(build: Build, rule: str | None, tmp_path: Path) -> None:
    found = found_in(package(build, tmp_path / "m.mlpackage"), "finding")
    assert {finding.rule for finding in found} == ({rule} if rule else set())


@pytest.mark.parametrize(("build", "rule"), ADVICE.values(), ids=list(ADVICE))
def test_each_advice_has_its_case(build: Build, rule: str | None, tmp_path: Path) -> None:
    path = package(build, tmp_path / "m.mlpackage")
    assert {finding.rule for finding in found_in(path, "advice")} == ({rule} if rule else set())
    assert found_in(path, "finding") == []


def test_a_sixth_axis_is_a_finding(tmp_path: Path) -> None:
    # The converter itself refuses one, so an operation's stored shape is changed.
    path = package(lambda x: mb.relu(x=x), tmp_path / "m.mlpackage")
    model = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    document = ct.proto.Model_pb2.Model()
    document.ParseFromString(model.read_bytes())
    function = document.mlProgram.functions["main"]
    (block,) = function.block_specializations.values()
    relu = next(op for op in block.operations if op.type == "relu")
    for _ in range(2):
        relu.outputs[0].type.tensorType.dimensions.add().constant.size = 1
    model.write_bytes(document.SerializeToString())
    assert {finding.rule for finding in found_in(path, "finding")} == {"rank"}


def test_float32_is_advice_and_said_once(tmp_path: Path) -> None:
    build = CASES["conv"][0]
    (found,) = found_in(package(build, tmp_path / "m.mlpackage", "fp32"), "advice")
    assert (found.rule, found.op) == ("single-precision", "conv")


def test_weights_computed_for_a_batch_are_a_finding(tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        images = mb.reshape(x=x, shape=[2, 4, 3, 8])
        return mb.conv(x=images, weight=mb.reshape(x=x, shape=[12, 4, 2, 2]))

    found = found_in(package(build, tmp_path / "m.mlpackage"), "finding")
    assert [finding.rule for finding in found] == ["dynamic-weights"]


def test_a_range_of_sizes_is_a_finding_and_a_list_of_sizes_is_none(tmp_path: Path) -> None:
    path = package(lambda x: mb.relu(x=x), tmp_path / "m.mlpackage")
    model = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    document = ct.proto.Model_pb2.Model()
    document.ParseFromString(model.read_bytes())
    array = document.description.input[0].type.multiArrayType
    array.enumeratedShapes.shapes.add().shape.extend(MAP)
    model.write_bytes(document.SerializeToString())
    assert found_in(path, "finding") == []

    for low, high in ((1, 1), (4, 4), (6, 64), (8, 64)):
        size = array.shapeRange.sizeRanges.add()
        size.lowerBound, size.upperBound = low, high
    model.write_bytes(document.SerializeToString())
    (found,) = found_in(path, "finding")
    assert (found.rule, found.op) == ("dynamic-shape", "input")
    assert "1x4x?x?" in found.reason


def test_every_rule_has_a_case() -> None:
    covered = {rule for _, rule in (*CASES.values(), *ADVICE.values()) if rule}
    elsewhere = {"rank", "dynamic-weights", "dynamic-shape", "single-precision"}
    assert covered | elsewhere == {rule.id for rule in ACCELERATORS["ane"].rules}
