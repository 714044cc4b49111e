"""Corrected biases make ONNX int8 nearer to float, and the search takes them where they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lolvit.manifest import Artifact
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.onnx import OnnxQuantizer
from lolvit_export.quantization.onnx_bias_correction import corrected_biases
from lolvit_export.quantization.onnx_graph import Graph, run_activations
from lolvit_runtimes.preprocessing import normalize
from tests.export import small_net

WIDE = ("Conv", "Gemm", "Add", "Concat")


@pytest.fixture(scope="module")
def fp32(folder: Path, model: small_net.SmallNet) -> Artifact:
    return small_net.lower(model, "onnx", folder)


@pytest.fixture(scope="module")
def quantizer(folder: Path, fp32: Artifact, images: Images) -> OnnxQuantizer:
    return OnnxQuantizer(folder / fp32.path, fp32, images, small_net.PREPROCESS, "int8")


@pytest.fixture(scope="module")
def both(folder: Path, quantizer: OnnxQuantizer) -> dict[bool, Artifact]:
    """The artifact with biases as they were, and with corrected ones."""
    return {
        corrects: quantizer.quantize(
            small_net.plan("onnx", WIDE, {"bias_correction": corrects}),
            folder / f"corrected-{corrects}.onnx",
        )
        for corrects in (False, True)
    }


def mean_errors(folder: Path, fp32: Artifact, found: Artifact, images: Images) -> float:
    """Return the largest mean error of any channel of any convolution, on what was calibrated
    with, in standard deviations of that channel."""
    graph = Graph(onnx.load(str(folder / fp32.path)))
    tensors = [node.output[0] for node in graph.nodes if node.op_type == "Conv"]
    inputs = [normalize(crop, small_net.PREPROCESS) for crop in images.calibration[::2]]
    exact, rounded = (
        collected(model, tensors, inputs)
        for model in (graph.model, onnx.load(str(folder / found.path)))
    )
    return max(
        float(np.abs((rounded[t] - exact[t]).mean((0, 2, 3)) / exact[t].std()).max())
        for t in tensors
    )


def collected(
    model: onnx.ModelProto, tensors: list[str], inputs: list[np.ndarray]
) -> dict[str, np.ndarray]:
    values: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
    for name, value in run_activations(model, tensors, inputs):
        values[name].append(value)
    return {name: np.concatenate(each) for name, each in values.items()}


def test_no_layer_errs_in_the_mean_any_more(folder, fp32, images, both) -> None:
    before, after = (mean_errors(folder, fp32, both[each], images) for each in (False, True))
    assert after < 0.005 < before


def test_corrected_is_nearer_on_images_that_were_not_calibrated_with(
    folder, fp32, images, both
) -> None:
    exact = small_net.logits("ort", folder / fp32.path, fp32, images.held_out)
    plain, corrected = (
        small_net.snr_db(
            exact, small_net.logits("ort", folder / both[each].path, both[each], images.held_out)
        )
        for each in (False, True)
    )
    assert corrected > plain


def test_only_biases_change(folder, both) -> None:
    models = [onnx.load(str(folder / both[each].path)) for each in (False, True)]
    constants = [{c.name: c.SerializeToString() for c in m.graph.initializer} for m in models]
    changed = {name for name in constants[0] if constants[0][name] != constants[1][name]}
    assert changed and all(name.endswith("/bias/quantized") for name in changed)
    assert models[0].graph.node == models[1].graph.node


def test_a_model_without_integer_biases_stays(folder, fp32, images) -> None:
    model = onnx.load(str(folder / fp32.path))
    inputs = [normalize(images.calibration[0], small_net.PREPROCESS)]
    assert corrected_biases(Graph(model), model, inputs) == model


def test_the_channels_of_a_layer_on_tokens_are_its_last_axis() -> None:
    """As MobileViT's layer normalization on HTP: more tokens than channels, or as many."""
    for tokens in (3, 5, 7):
        plain, rounded = _normalization(tokens, 1.0), _normalization(tokens, 1.2)
        generator = np.random.default_rng(0)
        images = [
            (generator.standard_normal((1, tokens, 5)) + np.arange(5)).astype(np.float32)
            for _ in range(8)
        ]
        corrected = corrected_biases(Graph(plain), rounded, images)
        exact, before, after = (
            collected(model, ["result"], images)["result"].mean((0, 1))
            for model in (plain, rounded, corrected)
        )
        assert np.abs(before - exact).max() > 0.05
        np.testing.assert_allclose(after, exact, atol=1e-3)


def _normalization(tokens: int, factor: float) -> onnx.ModelProto:
    """Return layer normalization of 5 channels, with a bias in integers and weights times
    `factor`."""
    weight = np.linspace(-1, 1, 5, dtype=np.float32) * factor
    constants = {
        "weight": weight,
        "norm/bias/quantized": np.arange(5, dtype=np.int32) * 1000,
        "norm/bias/scale": np.full((), 1e-3, np.float32),
    }
    quantized = ["norm/bias/quantized", "norm/bias/scale"]
    nodes = [
        helper.make_node("DequantizeLinear", quantized, ["bias"], name="dequantize"),
        helper.make_node(
            "LayerNormalization", ["image", "weight", "bias"], ["normal"], name="norm"
        ),
        helper.make_node("Identity", ["normal"], ["result"], name="last"),
    ]
    shape = (1, tokens, 5)
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in ("image", "result")
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "norm", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
