"""HTP's rules, and the same question asked of its compiler and emulator where onnxruntime-qnn is
installed: what does it take, and is the result right?"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lolvit_export.lint import ACCELERATORS, lint, read
from tests.export.lint_onnx import (
    MAP,
    chain,
    one,
    onnx_file,
    padding,
    pointwise,
    pooled,
    quantized,
    weights,
)

PROBE = Path(__file__).with_name("lint_htp_probe.py")
RIGHT, WRONG_DB, CRASHED = 40.0, 30.0, -999.0
SHAPE_5 = (1, 2, 4, 8, 16)
SHAPE_6 = (1, 2, 2, 4, 4, 8)
RELU = ("Relu", {}, {})


def gelu() -> bytes:
    half = {"c": np.float32(0.7071)}
    node = helper.make_node
    nodes = [
        node("Mul", ["x", "c"], ["a"]), node("Erf", ["a"], ["b"]), node("Add", ["b", "one"], ["d"]),
        node("Mul", ["x", "d"], ["e"]), node("Mul", ["e", "half"], ["y"]),
    ]  # fmt: skip
    return onnx_file(nodes, {"x": MAP}, half | {"one": np.float32(1), "half": np.float32(0.5)})


def computed_reshape() -> bytes:
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, MAP),
        helper.make_tensor_value_info("s", TensorProto.INT64, [3]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 64])
    graph = helper.make_graph([node], "graph", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


# name: (file, the rule that it breaks, or None)
REFUSED: dict[str, tuple[bytes, str | None]] = {
    "relu": (one("Relu"), None),
    "relu_rank_5": (one("Relu", SHAPE_5), None),
    "relu_rank_6": (one("Relu", SHAPE_6), "rank"),
    "maximum_rank_5": (one("Max", SHAPE_5, operands=2), "rank-4"),
    "maximum_of_one": (one("Max"), "single-operand"),
    "softsign": (one("Softsign"), "operator"),
    "product": (one("ReduceProd", constants={"a": np.int64([3])}), "operator"),
    "erf": (one("Erf"), "erf"),
    "gelu": (gelu(), None),
    "gather_one": (one("Gather", (1, 2, 64, 16), {"i": np.int64(1)}, axis=1), None),
    "expand": (one("Expand", (1, 16, 1, 8), {"s": np.int64(MAP)}), None),
    "power_of_integers": (
        one("Pow", operands=2, element=TensorProto.INT32), "integers",
    ),
    "cast_to_int64": (one("Cast", to=TensorProto.INT64), "cast-int64"),
    "gemm": (
        one("Gemm", (1, 16), {"w": weights(10, 16), "b": weights(10)}, transB=1), None,
    ),
    "gemm_scaled": (
        one("Gemm", (1, 16), {"w": weights(10, 16), "b": weights(10)}, transB=1, alpha=0.5),
        "gemm-scale",
    ),
    "layer_norm": (
        one("LayerNormalization", (1, 64, 16), {"g": np.ones(16, np.float32),
            "b": np.zeros(16, np.float32)}, axis=-1), None,
    ),
    "layer_norm_over_two_axes": (
        one("LayerNormalization", (1, 64, 16), {"g": np.ones((64, 16), np.float32),
            "b": np.zeros((64, 16), np.float32)}, axis=1), "norm-axis",
    ),
    "maximum_pool_dilated": (
        one("MaxPool", kernel_shape=[3, 3], pads=[2] * 4, dilations=[2, 2]), "dilated-pool",
    ),
    "gather_with_batch": (
        one("GatherND", constants={"i": np.int64([[0]])}, batch_dims=1), "gather-batch",
    ),
    "einsum_of_scores": (
        one("Einsum", (1, 4, 8, 8), operands=2, equation="bhid,bhjd->bhij"), None,
    ),
    "einsum_odd": (one("Einsum", (4, 8, 8), operands=2, equation="bij,bkj->kbi"), "einsum"),
    "reshape_to_a_computed_shape": (computed_reshape(), "computed-parameter"),
    "size_chosen_at_run_time": (one("Relu", ("N", 16, 8, 8)), "dynamic-shape"),
}  # fmt: skip
# Taken, and computed wrong where a rule is named.
WRONG: dict[str, tuple[bytes, str | None]] = {
    "exact": (pooled(16, 4, 4), None),
    "overlapping": (pooled(15, 3, 2), None),
    "ceil_mode_exact": (pooled(16, 4, 4, ceil=1), None),
    "ceil_mode_ragged": (pooled(14, 4, 4, ceil=1), "ceil-pool"),
    "ceil_mode_overlapping": (pooled(14, 3, 2, ceil=1), "ceil-pool"),
    "end_not_counted": (pooled(14, 4, 4, (0, 0, 2, 2)), "excluded-padding"),
    "end_counted": (pooled(14, 4, 4, (0, 0, 2, 2), counted=1), None),
    "both_sides_not_counted": (pooled(14, 3, 1, (1, 1, 1, 1)), "excluded-padding"),
    "both_sides_not_counted_with_step_2": (pooled(14, 3, 2, (1, 1, 1, 1)), None),
    "end_of_tiles_of_3_not_counted": (pooled(14, 3, 3, (0, 0, 1, 1)), None),
    "end_that_no_window_reads": (pooled(8, 4, 4, (0, 0, 2, 2), counted=1), "counted-padding"),
    "beginning_counted": (pooled(14, 4, 4, (1, 1, 1, 1), counted=1), "counted-padding"),
    "beginning_counted_of_3": (pooled(14, 3, 1, (1, 1, 1, 1), counted=1), None),
    "padded_between_convolutions": (
        chain(pointwise(), RELU, padding(0, 0, 0, 0, 0, 0, 1, 1), RELU, pointwise()), None,
    ),
    "padded_alone": (chain(RELU, padding(0, 0, 0, 0, 0, 0, 1, 1), RELU), "pad-alone"),
    "padded_alone_on_both_sides": (
        chain(RELU, padding(0, 0, 1, 1, 0, 0, 1, 1), RELU), None,
    ),
}  # fmt: skip
BOTH = REFUSED | WRONG


def write(content: bytes, folder: Path, name: str = "model") -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    return path


def rules_of(content: bytes, folder: Path, severity: str = "finding") -> set[str]:
    found = lint(read(write(content, folder), "onnx"), ACCELERATORS["htp"])
    return {finding.rule for finding in found if finding.severity == severity}


@pytest.mark.parametrize(("content", "rule"), BOTH.values(), ids=list(BOTH))
def test_each_rule_finds_its_case_and_no_other(
    content: bytes, rule: str | None, tmp_path: Path
) -> None:
    assert rules_of(content, tmp_path) == ({rule} if rule else set())


def test_padding_that_the_runtime_chooses_is_a_finding(tmp_path: Path) -> None:
    content = one("AveragePool", kernel_shape=[2, 2], auto_pad="SAME_UPPER")
    assert rules_of(content, tmp_path) == {"automatic-padding"}


def test_windows_that_are_no_power_of_two_are_advice(tmp_path: Path) -> None:
    assert "slow-window" in rules_of(pooled(9, 3, 3), tmp_path, "advice")
    assert "slow-window" not in rules_of(pooled(16, 4, 4), tmp_path, "advice")
    assert "slow-window" not in rules_of(pooled(7, 7, 7), tmp_path, "advice")  # the whole map


def test_floats_between_quantized_neighbours_are_advice(tmp_path: Path) -> None:
    found = lint(read(write(quantized("Softmax"), tmp_path), "onnx"), ACCELERATORS["htp"])
    assert {(f.rule, f.op) for f in found if f.rule == "float-island"} == {
        ("float-island", "Softmax")
    }
    assert "float-island" not in rules_of(quantized(""), tmp_path, "advice")


def product_of(second: type[np.generic]) -> bytes:
    """A product of an activation of uint16 and one of another type."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, object] = {"scale": np.float32(0.01)}
    for name, kind in (("x", np.uint16), ("z", second)):
        zero, given = f"{name}_zero", ["scale", f"{name}_zero"]
        constants[zero] = kind(0)
        nodes.append(helper.make_node("QuantizeLinear", [name, *given], [f"{name}q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}q", *given], [f"{name}d"]))
    nodes.append(helper.make_node("MatMul", ["xd", "zd"], ["y"], "product"))
    return onnx_file(nodes, {"x": (1, 8, 8), "z": (1, 8, 8)}, constants, opset=21)


def test_a_second_factor_that_is_narrowed_is_advice(tmp_path: Path) -> None:
    assert rules_of(product_of(np.uint16), tmp_path, "advice") == {"narrowed-factor"}
    assert rules_of(product_of(np.int16), tmp_path, "advice") == set()
    assert rules_of(product_of(np.uint8), tmp_path, "advice") == set()


def test_a_float_model_is_reported_once_as_running_in_half_precision(tmp_path: Path) -> None:
    found = lint(
        read(write(chain(pointwise(), pointwise()), tmp_path), "onnx"), ACCELERATORS["htp"]
    )
    assert [(f.rule, f.severity) for f in found] == [("half-precision", "advice")]
    assert "2 convolutions" in found[0].reason


def test_an_operation_of_another_domain_is_named_with_it(tmp_path: Path) -> None:
    node = helper.make_node("Attention", ["x0"], ["y"], domain="com.example")
    content = onnx_file([node], {"x0": MAP})
    (found,) = lint(read(write(content, tmp_path), "onnx"), ACCELERATORS["htp"])
    assert (found.rule, found.op, found.place) == ("operator", "com.example.Attention", "y")


def test_every_rule_has_a_case() -> None:
    covered = {rule for _, rule in BOTH.values() if rule}
    elsewhere = {
        "automatic-padding", "slow-window", "float-island", "narrowed-factor", "half-precision",
    }  # fmt: skip
    assert covered | elsewhere == {rule.id for rule in ACCELERATORS["htp"].rules}


@pytest.fixture(scope="module")
def htp(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What the emulator says of each case: {name: {taken, db}}."""
    if importlib.util.find_spec("onnxruntime_qnn") is None:
        pytest.skip("needs onnxruntime-qnn, which holds HTP's compiler and emulator")
    folder = tmp_path_factory.mktemp("htp")
    paths = {name: write(content, folder, name) for name, (content, _) in BOTH.items()}
    return {name: ask(path) for name, path in paths.items()}


def ask(path: Path) -> dict[str, object]:
    """Ask about one file, in a process of its own: a wrong pool may end it."""
    done = subprocess.run([sys.executable, str(PROBE), str(path)], capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[0]) if lines else {"taken": True, "db": CRASHED}


@pytest.mark.parametrize("name", REFUSED)
def test_htp_takes_what_has_no_finding_and_refuses_the_rest(
    name: str, htp: dict[str, dict[str, object]]
) -> None:
    assert htp[name]["taken"] == (REFUSED[name][1] is None)


@pytest.mark.parametrize("name", WRONG)
def test_htp_computes_right_what_has_no_finding_and_the_rest_wrong(
    name: str, htp: dict[str, dict[str, object]]
) -> None:
    db = htp[name]["db"]
    assert isinstance(db, float)
    assert db > RIGHT if WRONG[name][1] is None else db < WRONG_DB
