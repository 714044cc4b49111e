"""XNNPACK's rules, and the same question asked of the delegate itself: what does it take?"""

from __future__ import annotations

from pathlib import Path

import pytest
from ai_edge_litert.interpreter import Interpreter

from lolvit_export.lint import ACCELERATORS, lint, read
from lolvit_runtimes.litert import NOT_DELEGATED, count_delegated
from lolvit_runtimes.native import quiet_stderr
from tests.export.lint_tflite import (
    MAP,
    RELU,
    TANH,
    Op,
    Value,
    binary,
    concatenation,
    const,
    conv,
    depthwise,
    gather,
    half_precision_conv,
    matmul,
    pad,
    pool,
    reduce,
    reshape,
    split,
    strided_slice,
    tflite,
    transpose,
    unary,
    weight,
)

ADD = ("AddOptions", {})
# name: (file, the rule that it breaks, or None)
CASES: dict[str, tuple[bytes, str | None]] = {
    "relu": (unary("RELU"), None),
    "relu_rank_6": (unary("RELU", (1, 2, 2, 4, 4, 8)), None),
    "sigmoid": (unary("LOGISTIC"), None),
    "sign": (unary("SIGN"), "operator"),
    "log_softmax": (unary("LOG_SOFTMAX"), "operator"),
    "expand_dims": (
        tflite(Op("EXPAND_DIMS", [Value((1, 64, 16)), const(1)], [Value((1, 1, 64, 16))],
                  ("ExpandDimsOptions", {}))),
        "operator",
    ),
    "gather": (gather([0, 3, 5]), "operator"),
    "tile": (
        tflite(Op("TILE", [Value((1, 8, 1, 16)), const([1, 1, 8, 1])], [Value(MAP)],
                  ("TileOptions", {}))),
        "operator",
    ),
    "unpack": (
        tflite(Op("UNPACK", [Value((1, 2, 64, 16))], [Value((1, 64, 16)), Value((1, 64, 16))],
                  ("UnpackOptions", {"num": 2, "axis": 1}))),
        "operator",
    ),
    "pad_with_a_value": (pad(MAP, ((0, 0), (0, 1), (0, 1), (0, 0)), "PADV2",
                             ("PadV2Options", {})), "operator"),
    "relu_of_int8": (unary("RELU", dtype="int8"), "element-type"),
    "add_of_int8": (
        binary("ADD", Value(MAP, "int8"), Value(MAP, "int8"), options=ADD), None,
    ),
    "average_of_int8": (pool("AVERAGE_POOL_2D", 2, 2, "int8"), "element-type"),
    "maximum_pool_of_int8": (pool("MAX_POOL_2D", 2, 2, "int8"), None),
    "add_of_int32": (
        binary("ADD", Value(MAP, "int32"), Value(MAP, "int32"), options=ADD), "element-type",
    ),
    "add_broadcast": (binary("ADD", Value(MAP), Value((1, 1, 8, 16)), options=ADD), None),
    "half_precision_weights": (half_precision_conv(), None),
    "half_precision_weights_direct": (conv(weight(8, 3, 3, 16, dtype="float16")), "mixed-types"),
    "transpose_rank_6": (transpose((1, 2, 2, 4, 4, 8), (0, 1, 3, 2, 4, 5)), None),
    "transpose_rank_7": (transpose((1, 2, 2, 2, 2, 4, 8), (0, 1, 3, 2, 4, 6, 5)), "rank"),
    "reshape_to_rank_5": (reshape(MAP, (1, 8, 8, 2, 8)), None),
    "reshape_to_a_computed_shape": (reshape(MAP, (1, 64, 1, 16), True), "computed-parameter"),
    "conv": (conv(), None),
    "conv_of_computed_weights": (conv(Value((8, 3, 3, 16))), "computed-parameter"),
    "depthwise": (depthwise(weight(16)), None),
    "depthwise_without_bias": (depthwise(), "bias"),
    "add_then_relu": (
        binary("ADD", Value(MAP), Value(MAP),
               options=("AddOptions", {"fusedActivationFunction": RELU})), None,
    ),
    "add_then_tanh": (
        binary("ADD", Value(MAP), Value(MAP),
               options=("AddOptions", {"fusedActivationFunction": TANH})), "fused-activation",
    ),
    "pool": (pool("AVERAGE_POOL_2D", 2, 2), None),
    "pool_overlapping": (pool("AVERAGE_POOL_2D", 3, 1), None),
    "pool_with_gaps": (pool("AVERAGE_POOL_2D", 2, 3), "pool-gaps"),
    "concatenation_of_5": (concatenation(5), None),
    "concatenation_of_6": (concatenation(6), "concatenation"),
    "split_in_4": (split(4), None),
    "split_in_8": (split(8), "split"),
    "slice_with_step_1": (strided_slice((0,) * 4, (1, 8, 8, 8), (1,) * 4, (1, 8, 8, 8)), None),
    "slice_with_step_2": (
        strided_slice((0,) * 4, (1, 8, 8, 16), (1, 2, 2, 1), (1, 4, 4, 16)), "strided-slice",
    ),
    "slice_that_drops_an_axis": (
        strided_slice((0,) * 4, (1, 8, 8, 16), (1,) * 4, (8, 8, 16), shrinkAxisMask=1),
        "strided-slice",
    ),
    "softmax": (unary("SOFTMAX", options=("SoftmaxOptions", {"beta": 1.0})), None),
    "softmax_with_beta": (
        unary("SOFTMAX", options=("SoftmaxOptions", {"beta": 2.0})), "softmax-beta",
    ),
    "matmul_with_adjoint": (
        matmul(Value((1, 4, 16, 8)), Value((1, 4, 12, 8)), (1, 4, 16, 12), adjY=True), None,
    ),
    "sum": (reduce("SUM", axis=3), None),
    "sum_over_computed_axes": (reduce("SUM", computed=True), "computed-parameter"),
    "product": (reduce("REDUCE_PROD"), "operator"),
}  # fmt: skip


def write(content: bytes, folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("content", "rule"), CASES.values(), ids=list(CASES))
def test_each_rule_finds_its_case_and_no_other(
    content: bytes, rule: str | None, tmp_path: Path
) -> None:
    found = lint(read(write(content, tmp_path), "tflite"), ACCELERATORS["xnnpack"])
    assert {finding.rule for finding in found} == ({rule} if rule else set())


@pytest.mark.parametrize(("content", "rule"), CASES.values(), ids=list(CASES))
def test_the_delegate_takes_what_has_no_finding_and_leaves_the_rest(
    content: bytes, rule: str | None, tmp_path: Path
) -> None:
    with quiet_stderr():
        interpreter = Interpreter(str(write(content, tmp_path)), num_threads=1)
        interpreter.allocate_tensors()
    left = NOT_DELEGATED in count_delegated(interpreter._get_ops_details())
    assert left == (rule is not None)


def test_every_rule_has_a_case() -> None:
    covered = {rule for _, rule in CASES.values() if rule}
    findings = {rule.id for rule in ACCELERATORS["xnnpack"].rules if rule.severity == "finding"}
    assert covered == findings


def test_a_size_chosen_at_run_time_is_advice(tmp_path: Path) -> None:
    signature = (-1, 8, 8, 16)
    op = Op("RELU", [Value(MAP, signature=signature)], [Value(MAP, signature=signature)])
    (found,) = lint(read(write(tflite(op), tmp_path), "tflite"), ACCELERATORS["xnnpack"])
    assert (found.rule, found.severity, found.op) == ("dynamic-shape", "advice", "input")
    assert "?x8x8x16" in found.reason


def test_a_custom_operation_is_named(tmp_path: Path) -> None:
    content = tflite(Op("CUSTOM", [Value(MAP)], [Value(MAP)], custom="FlexErf"))
    (found,) = lint(read(write(content, tmp_path), "tflite"), ACCELERATORS["xnnpack"])
    assert (found.rule, found.op) == ("operator", "CUSTOM.FlexErf")
