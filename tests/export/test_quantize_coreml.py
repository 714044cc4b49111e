"""A quantized Core ML package computes in 8 bits what its plan says, as the interpreter runs it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit.manifest import Artifact, Precision, check_artifact
from lolvit_export.quantization.coreml import CoremlQuantizer
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.plan import Plan
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_package import read_package
from tests.export import small_net

WEIGHTS = ("conv", "linear")
EVERYTHING = (*WEIGHTS, "add", "concat", "avg_pool")


@pytest.fixture(scope="module")
def fp32(folder: Path, model: small_net.SmallNet) -> Artifact:
    return small_net.lower(model, "coreml", folder)


@pytest.fixture(scope="module")
def int8(folder: Path, fp32: Artifact, images: Images) -> CoremlQuantizer:
    return make(folder, fp32, images, "int8")


@pytest.fixture(scope="module")
def w8a16(folder: Path, fp32: Artifact, images: Images) -> CoremlQuantizer:
    return make(folder, fp32, images, "w8a16")


def make(folder: Path, fp32: Artifact, images: Images, precision: Precision) -> CoremlQuantizer:
    return CoremlQuantizer(folder / fp32.path, fp32, images, small_net.PREPROCESS, precision)


def plan(precision: Precision = "int8", **changes: Any) -> Plan:
    operations = EVERYTHING if precision == "int8" else WEIGHTS
    return small_net.plan("coreml", operations, {"precision": precision, **changes})


def logits(folder: Path, artifact: Artifact, images: Images) -> list[np.ndarray]:
    return small_net.logits("coreml-reference", folder / artifact.path, artifact, images.held_out)


def decibels(folder: Path, fp32: Artifact, found: Artifact, images: Images) -> float:
    return small_net.snr_db(logits(folder, fp32, images), logits(folder, found, images))


def program(path: Path) -> Any:
    return read_package(path).load_main()


def kinds(path: Path) -> Counter[str]:
    return Counter(operation.type for operation in read_package(path).operations())


def test_int8_is_near_float(folder, fp32, images, int8) -> None:
    artifact = int8.quantize(plan(), folder / "model-int8.mlpackage")
    assert (artifact.precision, artifact.path) == ("int8", "model-int8.mlpackage")
    check_artifact(folder, artifact)
    assert decibels(folder, fp32, artifact, images) >= 25


def test_w8a16_is_near_float_and_all_but_a_quarter_of_its_size_is_gone(
    folder, fp32, images, w8a16
) -> None:
    artifact = w8a16.quantize(plan("w8a16"), folder / "model-w8a16.mlpackage")
    check_artifact(folder, artifact)
    assert decibels(folder, fp32, artifact, images) >= 30
    sizes = [weight_bytes(folder / each.path) for each in (fp32, artifact)]
    assert sizes[1] < 0.45 * sizes[0]  # records of 64 bytes beside small weights


def weight_bytes(path: Path) -> int:
    return sum(member.stat().st_size for member in path.rglob("weight.bin"))


def test_every_value_between_integer_layers_is_rounded_once(folder, int8) -> None:
    int8.quantize(plan(), folder / "pairs.mlpackage")
    function = program(folder / "pairs.mlpackage")
    for operation in function.operations:
        if operation.op_type in ("conv", "linear", "avg_pool"):
            assert operation.inputs["x"].op.op_type == "dequantize", operation.name
        if operation.op_type == "dequantize":
            assert operation.inputs["input"].op.op_type == "quantize"
        if operation.op_type == "quantize":
            assert operation.inputs["input"].op.op_type != "dequantize"
            assert len(operation.inputs["input"].child_ops) == 1  # all else reads the rounded value


def test_a_relu_is_rounded_without_sign_and_with_its_convolution(folder, int8) -> None:
    int8.quantize(plan(), folder / "signs.mlpackage")
    function = program(folder / "signs.mlpackage")
    quantized = [each for each in function.operations if each.op_type == "quantize"]
    types = {str(each.inputs["input"].op.op_type): set[str]() for each in quantized}
    for each in quantized:
        types[str(each.inputs["input"].op.op_type)].add(str(each.inputs["output_dtype"].val))
    assert "uint8" in types["relu"] and "int8" in types["conv"]
    stem = next(each for each in function.operations if each.op_type == "conv")
    assert [reader.op_type for reader in stem.outputs[0].child_ops] == ["relu"]


def test_what_a_concat_joins_has_its_scale(folder, int8) -> None:
    int8.quantize(plan(), folder / "joined.mlpackage")
    (concat,) = (
        each for each in program(folder / "joined.mlpackage").operations if each.op_type == "concat"
    )
    (behind,) = concat.outputs[0].child_ops
    scales = {float(value.op.inputs["scale"].val) for value in concat.inputs["values"]}
    assert scales == {float(behind.inputs["scale"].val)}


def test_attention_and_its_divisor_stay_in_half_precision(folder, int8) -> None:
    int8.quantize(plan(), folder / "attention.mlpackage")
    for operation in program(folder / "attention.mlpackage").operations:
        if operation.op_type in ("real_div", "reduce_sum"):
            assert operation.outputs[0].child_ops[0].op_type != "quantize"
    assert kinds(folder / "attention.mlpackage")["matmul"] == 2
    adds = [each for each in int8.layers() if each.operation == "add"]
    assert len(adds) == 1  # of the residual; the other adds a constant to a divisor


def test_only_the_classifier_gives_the_output(int8) -> None:
    assert [each.operation for each in int8.layers() if each.is_output] == ["linear"]


def test_layers_that_the_plan_leaves_keep_half_precision_weights(folder, w8a16) -> None:
    names = [each.name for each in w8a16.layers()]
    w8a16.quantize(plan("w8a16", float_layers=tuple(names[:2])), folder / "left.mlpackage")
    assert kinds(folder / "left.mlpackage")["constexpr_affine_dequantize"] == len(names) - 2


def test_weights_equal_those_of_coremltools(folder, w8a16, fp32, images) -> None:
    w8a16.quantize(plan("w8a16"), folder / "ours.mlpackage")
    optimize = ct.optimize.coreml
    options = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
    half = ct.models.MLModel(str(w8a16._half.path), skip_model_load=True)
    theirs = optimize.linear_quantize_weights(half, optimize.OptimizationConfig(options))
    theirs.save(str(folder / "theirs.mlpackage"))
    ours, reference = (
        [
            each.inputs["quantized_data"].val
            for each in program(folder / f"{name}.mlpackage").operations
            if each.op_type == "constexpr_affine_dequantize"
        ]
        for name in ("ours", "theirs")
    )
    assert len(ours) == len(reference) == 8
    for our, their in zip(ours, reference, strict=True):
        steps = np.abs(our.astype(int) - their.astype(int))
        assert steps.max() <= 1 and (steps > 0).mean() < 0.05  # our scales are fp16 first


@pytest.mark.parametrize(("precision", "version"), [("int8", 8), ("w8a16", 7)])
def test_the_first_system_that_runs_it_is_asked_for(
    folder, int8, w8a16, precision, version
) -> None:
    path = folder / f"version-{precision}.mlpackage"
    {"int8": int8, "w8a16": w8a16}[precision].quantize(plan(precision), path)
    description = read_package(path).model
    assert description.specificationVersion == version  # iOS 17, iOS 16
    assert description.description.input[0].type.WhichOneof("Type") == "imageType"


def test_activations_that_are_always_zero_keep_their_biases(tmp_path, model, images) -> None:
    fp32 = small_net.lower(small_net.without_attention(model), "coreml", tmp_path)
    artifact = make(tmp_path, fp32, images, "int8").quantize(plan(), tmp_path / "zero.mlpackage")
    assert decibels(tmp_path, fp32, artifact, images) >= 25


def test_an_output_that_is_a_concatenation_stays_in_float(tmp_path, model, images) -> None:
    joined = small_net.Joined(model).eval()  # as a detector's boxes are
    fp32 = small_net.lower(joined, "coreml", tmp_path)
    artifact = make(tmp_path, fp32, images, "int8").quantize(plan(), tmp_path / "ends.mlpackage")
    assert decibels(tmp_path, fp32, artifact, images) >= 25


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_methods_cut_ranges(folder, fp32, images, int8, method) -> None:
    int8.quantize(plan(), folder / "minmax.mlpackage")
    artifact = int8.quantize(plan(method=method, percentile=99.5), folder / "cut.mlpackage")
    assert steps(folder / "cut.mlpackage") < steps(folder / "minmax.mlpackage")
    assert decibels(folder, fp32, artifact, images) >= 15


def steps(path: Path) -> float:
    """Return the sum of the steps of all 8-bit activations."""
    return sum(
        float(each.inputs["scale"].val)
        for each in program(path).operations
        if each.op_type == "quantize"
    )


@pytest.mark.parametrize(
    ("precision", "changes", "words"),
    [
        ("int8", {"float_layers": ("conv_nine",)}, "float_layers: no layer 'conv_nine'"),
        ("int8", {"operations": ("matmul",)}, "no operation 'matmul' can be quantized"),
        ("w8a16", {"operations": ("add",)}, "no operation 'add' can be quantized"),
        ("w8a16", {"method": "mse"}, "'mse' changes nothing: only weights are quantized"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_a_user_error(
    folder, int8, w8a16, precision, changes, words
) -> None:
    quantizer = {"int8": int8, "w8a16": w8a16}[precision]
    with pytest.raises(UserError, match=words):
        quantizer.quantize(plan(precision, **changes), folder / "no.mlpackage")
    assert not (folder / "no.mlpackage").exists()
