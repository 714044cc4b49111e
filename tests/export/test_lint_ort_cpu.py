"""ONNX Runtime's CPU rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

from lolvit_export.lint import ACCELERATORS, lint, read
from tests.export.lint_onnx import MAP, chain, one, onnx_file, pointwise, weights

NORM = {
    "scale": np.ones(16, np.float32), "bias": np.zeros(16, np.float32),
    "mean": np.zeros(16, np.float32), "variance": np.ones(16, np.float32),
}  # fmt: skip
BATCH_NORM = ("BatchNormalization", NORM, {})
RELU = ("Relu", {}, {})
TO_CHANNELS_LAST = ("Transpose", {}, {"perm": [0, 2, 3, 1]})


def branch() -> bytes:
    """A condition with one ReLU on each side."""
    sides = [
        helper.make_graph(
            [helper.make_node("Relu", ["x"], [name])], name, [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, MAP)],
        )
        for name in ("yes", "no")
    ]  # fmt: skip
    node = helper.make_node("If", ["c"], ["y"], then_branch=sides[0], else_branch=sides[1])
    return onnx_file([node], {"x": MAP}, {"c": np.asarray(True)})


def odd_conv(channels: int, made: int, group: int = 1) -> bytes:
    constants = {"w": weights(made, channels // group, 1, 1)}
    return one("Conv", (1, channels, 8, 8), constants, kernel_shape=[1, 1], group=group)


def integers(
    kind: str, weight: np.ndarray, shape: tuple[int, ...] = MAP, data: str = "d",
    dtype: type[np.unsignedinteger[Any]] = np.uint8, **attributes: int,
) -> bytes:  # fmt: skip
    """An operation of a rounded weight on the activations `data`: "d", rounded, or "x"."""
    constants = {
        "scale": np.float32(0.1), "zero": dtype(0), "weight": weight,
        "weight_scale": np.float32(0.1), "weight_zero": weight.dtype.type(0),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"]),
        helper.make_node(kind, [data, "w"], ["y"], **attributes),
    ]
    return onnx_file(nodes, {"x": shape}, constants, opset=21)


def of_neighbours(first: int, second: int, *shape: int) -> np.ndarray:
    return np.resize(np.array([first, second], np.int8), shape)


# name: (file, the rule that it breaks, or None)
CASES: dict[str, tuple[bytes, str | None]] = {
    "conv": (chain(pointwise(), RELU), None),
    "softmax": (one("Softmax", axis=-1), None),
    "softmax_last_axis_by_number": (one("Softmax", axis=3), None),
    "softmax_over_channels": (one("Softmax", axis=1), "softmax-axis"),
    "norm_after_conv": (chain(pointwise(), BATCH_NORM), None),
    "norm_after_relu": (chain(RELU, BATCH_NORM), "batch-norm"),
    "condition": (branch(), "control-flow"),
    "shape_of_a_fixed_size": (one("Shape"), None),
    "nonzero": (one("NonZero"), "computed-shape"),
    "foreign": (
        onnx_file([helper.make_node("Foo", ["x"], ["y"], domain="com.example")], {"x": MAP}),
        "foreign-operator",
    ),
}
ADVICE: dict[str, tuple[bytes, str | None]] = {
    "transpose_before_conv": (
        chain(TO_CHANNELS_LAST, pointwise(8), shape=(1, 16, 8, 8)), "layout-swap",
    ),
    "transpose_before_matmul": (
        chain(TO_CHANNELS_LAST, ("MatMul", {"w": weights(16, 8)}, {})), None,
    ),
    "odd_groups": (odd_conv(18, 18, 18), "channel-alignment"),
    "odd_input": (odd_conv(18, 16), "channel-alignment"),
    "photo": (odd_conv(3, 16), None),  # fewer channels than a block are read as they are
    "even": (odd_conv(16, 18), None),
    "size_chosen_at_run_time": (one("Relu", ("N", 16, 8, 8)), "dynamic-shape"),
    "int8_that_fits_16_bits": (integers("Conv", of_neighbours(64, 64, 16, 16, 1, 1)), None),
    "int8_that_does_not": (integers("Conv", of_neighbours(64, 65, 16, 16, 1, 1)), "clipped-sums"),
    "int8_less_than_zero": (
        integers("Conv", of_neighbours(-127, -2, 16, 16, 1, 1)), "clipped-sums",
    ),
    "int8_of_opposite_signs": (integers("Conv", of_neighbours(127, -127, 16, 16, 1, 1)), None),
    "int8_window": (integers("Conv", of_neighbours(99, 99, 16, 16, 3, 3)), "clipped-sums"),
    "int8_depthwise": (integers("Conv", of_neighbours(99, 99, 16, 1, 3, 3), group=16), None),
    "uint8_weights": (
        integers("Conv", np.full((16, 16, 1, 1), 255, np.uint8)), None,
    ),
    "int8_product": (
        integers("MatMul", of_neighbours(99, 99, 10, 16).T, (1, 16)), "clipped-sums",
    ),
    "int8_product_of_columns": (
        integers("MatMul", of_neighbours(99, 0, 10, 16).T, (1, 16)), None,
    ),
    "int8_products_of_columns": (
        integers("MatMul", of_neighbours(99, 0, 2, 10, 16).transpose(0, 2, 1), (2, 1, 16)), None,
    ),
    "int8_linear": (
        integers("Gemm", of_neighbours(99, 99, 10, 16), (1, 16), transB=1), "clipped-sums",
    ),
    "int8_dynamic": (
        onnx_file(
            [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
             helper.make_node("MatMulInteger", ["q", "w", "z"], ["y"])],
            {"x": (1, 16)}, {"w": of_neighbours(99, 99, 10, 16).T},
        ), "clipped-sums",
    ),
    "int8_weights_of_a_float_product": (
        integers("MatMul", of_neighbours(99, 99, 10, 16).T, (1, 16), data="x"), None,
    ),
    "int8_weights_of_16_bit_activations": (
        integers("Conv", of_neighbours(99, 99, 16, 16, 1, 1), dtype=np.uint16), None,
    ),
    "int8_of_nothing": (integers("MatMul", np.zeros((16, 0), np.int8), (1, 16)), None),
    "half_precision": (
        one("MatMul", (4, 16), {"w": weights(16, 8).astype(np.float16)},
            element=TensorProto.FLOAT16), "half-precision",
    ),
}  # fmt: skip


def rules_of(content: bytes, folder: Path, severity: str) -> set[str]:
    path = folder / "model.onnx"
    path.write_bytes(content)
    found = lint(read(path, "onnx"), ACCELERATORS["ort-cpu"])
    return {finding.rule for finding in found if finding.severity == severity}


@pytest.mark.parametrize(("content", "rule"), CASES.values(), ids=list(CASES))
def test_each_finding_has_its_case(content: bytes, rule: str | None, tmp_path: Path) -> None:
    assert rules_of(content, tmp_path, "finding") == ({rule} if rule else set())


@pytest.mark.parametrize(("content", "rule"), ADVICE.values(), ids=list(ADVICE))
def test_each_advice_has_its_case(content: bytes, rule: str | None, tmp_path: Path) -> None:
    assert rules_of(content, tmp_path, "advice") == ({rule} if rule else set())
    assert rules_of(content, tmp_path, "finding") == set()


def test_a_shape_that_depends_on_the_input_is_a_finding(tmp_path: Path) -> None:
    assert "computed-shape" in rules_of(one("Shape", ("N", 16, 8, 8)), tmp_path, "finding")


def test_every_rule_has_a_case() -> None:
    covered = {rule for _, rule in (*CASES.values(), *ADVICE.values()) if rule}
    assert covered == {rule.id for rule in ACCELERATORS["ort-cpu"].rules}


class Photos(CalibrationDataReader):
    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self._left = [draw.normal(size=MAP).astype(np.float32) for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return {"x": self._left.pop()} if self._left else None


@pytest.mark.parametrize("reduce_range", [False, True])
def test_what_onnx_runtimes_own_quantizer_writes_may_be_clipped_unless_it_takes_a_bit(
    reduce_range: bool, tmp_path: Path
) -> None:
    given, written = tmp_path / "given.onnx", tmp_path / "model.onnx"
    given.write_bytes(chain(pointwise(), RELU, pointwise()))
    quantize_static(given, written, Photos(), per_channel=True, reduce_range=reduce_range)
    rules = rules_of(written.read_bytes(), tmp_path, "advice")
    assert ("clipped-sums" in rules) == (not reduce_range)
