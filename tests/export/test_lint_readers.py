"""Readers: what they make of a file, and that a damaged one is refused or read, never a crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lolvit.errors import UserError
from lolvit.manifest import Format
from lolvit_export.lint import ACCELERATORS, accelerators_of, lint, read
from lolvit_runtimes.bare import check
from lolvit_runtimes.coreml_tools import coremltools as ct
from tests.export.lint_onnx import MAP, chain, onnx_file, pointwise, quantized
from tests.export.lint_tflite import Op, Value, const, conv, pad, strided_slice, tflite, unary
from tests.runtimes.mutations import mutated

MAP_NHWC = (1, 8, 8, 16)


def write(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


def test_onnx_constants_come_with_their_values_and_weights_without(tmp_path: Path) -> None:
    content = chain(pointwise(), ("Reshape", {"s": np.int64([1, 16, -1])}, {}))
    conv, reshape = read(write(content, tmp_path / "m.onnx"), "onnx").operations
    assert conv.inputs[1] is not None
    assert (conv.inputs[1].constant, conv.inputs[1].values) == (True, None)
    assert reshape.inputs[1] is not None
    assert reshape.inputs[1].values == (1, 16, -1)
    assert reshape.outputs[0].shape == (1, 16, 64)


def test_onnx_constant_nodes_are_constants_and_no_operations(tmp_path: Path) -> None:
    value = helper.make_tensor("v", TensorProto.INT64, [3], [1, 16, 64])
    nodes = [
        helper.make_node("Constant", [], ["s"], value=value),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
    ]
    graph = read(write(onnx_file(nodes, {"x": MAP}), tmp_path / "m.onnx"), "onnx")
    (reshape,) = graph.operations
    assert graph.is_static(reshape.input(1))


def test_an_onnx_input_that_is_not_given_is_none(tmp_path: Path) -> None:
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    content = onnx_file([node], {"x": MAP}, {"high": np.float32(6)})
    (clip,) = read(write(content, tmp_path / "m.onnx"), "onnx").operations
    assert clip.inputs[1] is None
    assert clip.place == "y"


def test_tflite_options_and_shapes_are_named(tmp_path: Path) -> None:
    signature = (-1, 8, 8, 16)
    op = Op("LOGISTIC", [Value(MAP_NHWC, signature=signature)], [Value(MAP_NHWC)])
    assert read(write(tflite(op), tmp_path / "a.tflite"), "tflite").inputs[0].shape == (
        None, 8, 8, 16,
    )  # fmt: skip
    graph = read(write(conv(fused=3), tmp_path / "b.tflite"), "tflite")
    assert graph.operations[0].attributes["fused"] == "RELU6"
    assert graph.operations[0].attributes["stride_h"] == 1
    sliced = strided_slice((0,) * 4, (1, 8, 8, 16), (1,) * 4, (8, 8, 16), shrinkAxisMask=1)
    graph = read(write(sliced, tmp_path / "c.tflite"), "tflite")
    assert graph.operations[0].attributes["shrink_axis_mask"] == 1
    softmax = unary("SOFTMAX", options=("SoftmaxOptions", {"beta": 0.25}))
    graph = read(write(softmax, tmp_path / "d.tflite"), "tflite")
    assert graph.operations[0].attributes["beta"] == 0.25


def test_tflite_places_are_numbers_and_names_that_repeat_are_told_apart(tmp_path: Path) -> None:
    middle, last = Value(MAP_NHWC), Value(MAP_NHWC)
    ops = (Op("RELU", [Value(MAP_NHWC)], [middle]), Op("TANH", [middle], [last]))
    graph = read(write(tflite(*ops), tmp_path / "m.tflite"), "tflite")
    assert [op.place for op in graph.operations] == ["#0 t1", "#1 t2"]
    assert graph.producer(graph.operations[1].input(0)) is graph.operations[0]


def test_a_constant_widened_from_half_precision_is_static(tmp_path: Path) -> None:
    narrow, wide = const(np.ones(16), "float16"), Value((16,))
    ops = (
        Op("DEQUANTIZE", [narrow], [wide]),
        Op("MUL", [Value(MAP_NHWC), wide], [Value(MAP_NHWC)], ("MulOptions", {})),
    )
    graph = read(write(tflite(*ops), tmp_path / "m.tflite"), "tflite")
    product = graph.operations[1]
    assert graph.is_static(product.input(1))
    assert not graph.is_static(product.input(0))


def test_core_ml_settings_are_attributes_and_tensors_are_inputs(tmp_path: Path) -> None:
    mb = ct.converters.mil.Builder

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 4, 6, 8))], opset_version=ct.target.iOS17)
    def program(x):  # type: ignore[no-untyped-def]
        scaled = mb.mul(x=x, y=np.float32(2.5))
        kernel = np.ones((3, 4, 1, 1), np.float32)
        return mb.conv(x=scaled, weight=kernel, strides=[2, 1])

    model = ct.convert(
        program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    model.save(str(tmp_path / "m.mlpackage"))
    graph = read(tmp_path / "m.mlpackage", "coreml")
    product, conv = graph.operations
    assert product.attributes["y"] == 2.5
    assert [t.name for t in product.inputs if t] == [graph.inputs[0].name]
    assert conv.attributes["strides"] == (2, 1)
    weight = conv.attributes["arguments"]["weight"]
    assert (weight.shape, weight.constant) == ((3, 4, 1, 1), True)
    assert conv.outputs[0].shape == (1, 3, 3, 8)
    assert graph.outputs == conv.outputs


TFLITE = pad(MAP_NHWC, ((0, 0), (0, 1), (0, 1), (0, 0)))
ONNX = quantized("Softmax")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=mutated(TFLITE))
def test_a_damaged_tflite_file_is_refused_or_linted(content: bytes, tmp_path: Path) -> None:
    lint_or_refuse(write(content, tmp_path / "m.tflite"), "tflite")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=mutated(ONNX) | st.binary(max_size=64))
def test_a_damaged_onnx_file_is_refused_or_linted(content: bytes, tmp_path: Path) -> None:
    lint_or_refuse(write(content, tmp_path / "m.onnx"), "onnx")


def lint_or_refuse(path: Path, format: Format) -> None:
    """Do what the command does with a file without a manifest."""
    try:
        check(path, format)
        graph = read(path, format)
    except UserError as error:
        assert "\n" not in str(error)
        return
    for target in accelerators_of(graph.format):
        for finding in lint(graph, target):
            assert finding.reason
            assert finding.target in ACCELERATORS
