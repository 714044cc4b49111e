"""Forms of an ONNX model that HTP computes faster: powers for divisions, pixels for floats."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lolvit.manifest import Preprocessing
from lolvit_export.quantization.onnx_graph import Graph
from lolvit_export.quantization.qnn_forms import pixel_values, with_pixels, with_reciprocals
from lolvit_export.quantization.qnn_qdq import quantized_model, quantized_tensors
from lolvit_export.quantization.rounding import QuantParams
from lolvit_runtimes.preprocessing import normalize

SIZE = (12, 16)
DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (*SIZE, 3), np.uint8)
UNIFORM = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BY_CHANNEL = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def preprocessing(
    values: tuple[tuple[float, float, float], tuple[float, float, float]],
) -> Preprocessing:
    return Preprocessing(size=SIZE, crop_pct=1, mean=values[0], std=values[1])


def convolution(pad: int = 0, *, bias: bool = True) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(DRAW.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")]
    if bias:
        weights.append(numpy_helper.from_array(DRAW.normal(size=4).astype(np.float32), "b"))
    node = helper.make_node(
        "Conv", ["image", *(each.name for each in weights)], ["logits"], "conv", pads=[pad] * 4
    )
    return model_of([node], weights, (1, 4, *(side - 2 + 2 * pad for side in SIZE)))


def model_of(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], shape: tuple[int, ...]
) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, *SIZE))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def run(model: onnx.ModelProto, image: object) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # HTP clips no sums of 8-bit products, as x86 processors without VNNI do.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"image": image})
    return np.asarray(logits)


@pytest.mark.parametrize(("values", "pad"), [(UNIFORM, 0), (BY_CHANNEL, 0), (NONE, 0), (NONE, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_pixels_give_what_normalized_values_give(
    values: tuple[tuple[float, float, float], tuple[float, float, float]], pad: int, bias: bool
) -> None:
    model = convolution(pad, bias=bias)
    changed, pixels = with_pixels(model, preprocessing(values))
    assert pixels is not None
    expected = run(model, normalize(PIXELS, preprocessing(values)))
    assert np.abs(run(changed, pixel_values(PIXELS, pixels)) - expected).max() < 1e-4


@pytest.mark.parametrize("values", [UNIFORM, BY_CHANNEL])
def test_padding_keeps_the_image_normalized_where_its_zero_is_no_pixel(
    values: tuple[tuple[float, float, float], tuple[float, float, float]],
) -> None:
    model = convolution(pad=1)
    changed, pixels = with_pixels(model, preprocessing(values))
    assert pixels is None and changed is model


def test_an_image_that_no_convolution_reads_stays_normalized() -> None:
    relu = helper.make_node("Relu", ["image"], ["logits"], "relu")
    _, pixels = with_pixels(model_of([relu], [], (1, 3, *SIZE)), preprocessing(NONE))
    assert pixels is None


@pytest.mark.parametrize("bits", [8, 16])
def test_a_quantized_model_takes_pixels_with_the_channels_last(bits: int) -> None:
    model = convolution()
    changed, pixels = with_pixels(model, preprocessing(UNIFORM))
    expected = run(model, normalize(PIXELS, preprocessing(UNIFORM)))
    graph = Graph(changed)
    most = float(np.abs(expected).max())
    ranges = dict.fromkeys(quantized_tensors(graph), (-most, most))
    found = run(quantized_model(graph, ranges, bits, pixels), PIXELS[np.newaxis])
    assert np.abs(found - expected).max() < 0.02 * most


def test_every_pixel_is_a_quantized_value() -> None:
    params = QuantParams(np.float32(1 / 127.5), zero_point=128)
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    values = pixel_values(ramp, params)
    assert values.shape == (1, 3, 16, 16)
    assert (float(values.min()), float(values.max())) == pytest.approx(params.limits(8))


def test_a_quotient_of_activations_becomes_a_product() -> None:
    nodes = [
        helper.make_node("Abs", ["image"], ["size"], "abs"),
        helper.make_node("Add", ["size", "one"], ["most"], "add"),
        helper.make_node("Div", ["image", "most"], ["share"], "div"),
        helper.make_node("Div", ["share", "one"], ["logits"], "by_a_constant"),
    ]
    one = numpy_helper.from_array(np.asarray(1.5, np.float32), "one")
    model = model_of(nodes, [one], (1, 3, *SIZE))
    changed = with_reciprocals(model)
    kinds = [node.op_type for node in changed.graph.node]
    assert kinds == ["Abs", "Add", "Pow", "Mul", "Div"]
    image = DRAW.normal(size=(1, 3, *SIZE)).astype(np.float32)
    assert np.abs(run(changed, image) - run(model, image)).max() < 1e-6


@pytest.mark.parametrize(("highest", "centred"), [(1.0, True), (4.0, False)])
def test_the_second_factor_of_a_product_has_its_zero_point_in_the_middle(
    highest: float, centred: bool
) -> None:
    nodes = [
        helper.make_node("Abs", ["image"], ["size"], "abs"),
        helper.make_node("Transpose", ["image"], ["turned"], "turn", perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["size", "turned"], ["logits"], "product"),
    ]
    model = model_of(nodes, [], (1, 3, SIZE[0], SIZE[0]))
    graph = Graph(model)
    ranges = dict.fromkeys(quantized_tensors(graph), (-0.9, highest))
    quantized = quantized_model(graph, {**ranges, "logits": (-9.0, 9.0)}, bits=8)
    stored = {each.name: numpy_helper.to_array(each) for each in quantized.graph.initializer}
    middle = {name: int(stored[f"{name}/zero_point"]) for name in ("image", "turned", "size")}
    assert (middle["image"] == middle["turned"] == 128) is centred
    assert middle["size"] != 128
    if centred:
        image = np.clip(DRAW.normal(size=(1, 3, *SIZE)) / 2, -0.9, 0.9).astype(np.float32)
        assert np.abs(run(quantized, image) - run(model, image)).max() < 0.2
