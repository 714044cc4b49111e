"""Weights of 4 bits by GPTQ: in numbers and in both formats' files."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.utils import tfl_flatbuffer_utils
from hypothesis import given
from hypothesis import strategies as st

from lolvit.errors import UserError
from lolvit.manifest import Artifact, check_artifact
from lolvit_export.quantization.coreml import CoremlQuantizer
from lolvit_export.quantization.gptq import InputMoments, Inputs, QuantizedWeight, gptq, im2col
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.plan import Plan
from lolvit_export.quantization.quantizer import Quantizer
from lolvit_export.quantization.rounding import (
    SMALLEST_FP16_SCALE,
    channel_scales,
    qmax,
    round_per_channel,
)
from lolvit_export.quantization.tflite import TfliteQuantizer
from lolvit_runtimes.mil_package import read_package
from tests.export import small_net

KINDS = {"coreml": ("conv", "linear"), "tflite": ("CONV_2D", "FULLY_CONNECTED")}
CLASSES: dict[str, Any] = {"coreml": CoremlQuantizer, "tflite": TfliteQuantizer}
RUNTIMES = {"coreml": "coreml-reference", "tflite": "litert"}
SUFFIXES = {"coreml": ".mlpackage", "tflite": ".tflite"}
DENSE = 7  # of SmallNet's layers with weights, all but the depthwise one


def correlated(inputs: int, places: int = 400) -> np.ndarray:
    """Return what a layer reads: few causes, none of mean zero."""
    random = np.random.default_rng(0)
    causes = random.random((inputs // 2, places)) + 0.5
    mixed: np.ndarray = random.normal(size=(inputs, inputs // 2)) @ causes
    return mixed + 0.1 * random.normal(size=(inputs, places))


def counted(columns: np.ndarray) -> Inputs:
    moments = InputMoments()
    for half in np.split(columns, 2, axis=1):  # two images
        moments.add("layer", half.astype(np.float32))
    return moments.of("layer")


def by_gptq(weight: np.ndarray, columns: np.ndarray, dtype: type) -> QuantizedWeight:
    scales = channel_scales(weight, 4, smallest=SMALLEST_FP16_SCALE, dtype=dtype)
    return gptq(weight, counted(columns), scales.astype(np.float64), 4)


def test_gptq_keeps_results_nearer_than_rounding_to_the_nearest() -> None:
    columns, weight = correlated(24), np.random.default_rng(1).normal(size=(10, 24))
    found = by_gptq(weight, columns, np.float32)
    scales = found.scales[:, None]
    nearest = round_per_channel(weight, found.scales, 4)
    errors = [((q * scales - weight) @ columns).std() for q in (nearest, found.qweight)]
    assert errors[1] < 0.5 * errors[0]
    assert np.abs(found.qweight).max() == qmax(4) == 7


def test_the_bias_takes_up_the_mean_error() -> None:
    columns, weight = correlated(24), np.random.default_rng(1).normal(size=(10, 24))
    found = by_gptq(weight, columns, np.float16)
    error = (found.qweight * found.scales[:, None] - weight) @ columns
    corrected = error + found.bias_correction[:, None]
    np.testing.assert_allclose(corrected.mean(axis=1), 0, atol=1e-5)
    assert (found.scales.astype(np.float16) == found.scales).all()  # as they will be stored


@pytest.mark.parametrize("dead", [slice(0, 1), slice(None)])
def test_inputs_and_weights_that_are_always_zero_are_no_harm(dead: slice) -> None:
    columns, weight = correlated(8), np.random.default_rng(1).normal(size=(4, 8))
    columns[dead] = 0
    weight[2] = 0
    found = by_gptq(weight, columns, np.float32)
    assert np.isfinite(found.scales).all() and np.isfinite(found.bias_correction).all()
    assert not found.qweight[2].any()


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_im2col_is_what_a_convolution_multiplies(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pad: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    image, weight = torch.randn(3, 7, 9), torch.randn(4, 3, *kernel)
    padding = [(pad[0], pad[0]), (pad[1], pad[1])]
    columns = im2col(image.numpy(), kernel, strides, padding, dilations)
    expected = torch.nn.functional.conv2d(image[None], weight, None, strides, pad, dilations)
    found = weight.reshape(4, -1).numpy() @ columns
    np.testing.assert_allclose(found, expected.reshape(4, -1).numpy(), atol=1e-4)


@pytest.fixture(scope="module", params=["coreml", "tflite"])
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fp32(folder: Path, model: small_net.SmallNet, format: str) -> Artifact:
    return small_net.lower(model, format, folder)


@pytest.fixture(scope="module")
def quantizer(folder: Path, fp32: Artifact, images: Images) -> Quantizer:
    return make(folder, fp32, images)


def make(folder: Path, fp32: Artifact, images: Images) -> Quantizer:
    chosen = CLASSES[fp32.format]
    result: Quantizer = chosen(folder / fp32.path, fp32, images, small_net.PREPROCESS, "w4")
    return result


def plan(format: str, **changes: object) -> Plan:
    return small_net.plan(format, KINDS[format], {"precision": "w4", **changes})


def decibels(folder: Path, fp32: Artifact, found: Artifact, images: Images) -> float:
    both = [
        small_net.logits(RUNTIMES[fp32.format], folder / each.path, each, images.held_out)
        for each in (fp32, found)
    ]
    return small_net.snr_db(*both)


def four_bit_weights(path: Path) -> int:
    """Count the constants of 4 bits in an artifact."""
    if path.suffix == ".mlpackage":
        kinds = Counter(each.type for each in read_package(path).operations())
        return kinds["constexpr_blockwise_shift_scale"]
    (subgraph,) = tfl_flatbuffer_utils.read_model(str(path)).subgraphs
    return sum(each.type == qtyping.TensorType.INT4 for each in subgraph.tensors)


def test_w4_is_near_float(folder, fp32, images, quantizer, format) -> None:
    name = f"model-w4{SUFFIXES[format]}"
    artifact = quantizer.quantize(plan(format), folder / name)
    assert (artifact.precision, artifact.path) == ("w4", name)
    check_artifact(folder, artifact)
    assert decibels(folder, fp32, artifact, images) >= 20
    assert four_bit_weights(folder / name) == DENSE


def test_the_depthwise_layer_is_none(quantizer, format) -> None:
    assert len(quantizer.layers()) == DENSE
    assert {each.operation for each in quantizer.layers()} <= set(KINDS[format])


def test_layers_that_the_plan_leaves_stay_as_they_are(
    folder, fp32, images, quantizer, format
) -> None:
    names = [each.name for each in quantizer.layers()]
    left = plan(format, float_layers=tuple(names[:3]))
    path = folder / f"left{SUFFIXES[format]}"
    artifact = quantizer.quantize(left, path)
    assert four_bit_weights(path) == DENSE - 3
    whole = quantizer.quantize(plan(format), folder / f"whole{SUFFIXES[format]}")
    near, far = (decibels(folder, fp32, each, images) for each in (artifact, whole))
    assert near > far


def test_activations_and_weights_that_are_always_zero_keep_their_biases(
    tmp_path, model, images, format
) -> None:
    fp32 = small_net.lower(small_net.without_attention(model), format, tmp_path)
    path = tmp_path / f"zero{SUFFIXES[format]}"
    artifact = make(tmp_path, fp32, images).quantize(plan(format), path)
    assert decibels(tmp_path, fp32, artifact, images) >= 20


def test_layers_without_a_bias_or_with_equal_ones_get_their_own(
    tmp_path, model, images, format
) -> None:
    model = copy.deepcopy(model)
    model.key.weight.data = model.query.weight.data.clone()  # converters keep one of equals
    for each in (model.key, model.query, model.value):
        each.bias.data.fill_(0.25)
    model.mixed.bias = None
    fp32 = small_net.lower(model, format, tmp_path)
    path = tmp_path / f"shared{SUFFIXES[format]}"
    artifact = make(tmp_path, fp32, images).quantize(plan(format), path)
    assert decibels(tmp_path, fp32, artifact, images) >= 20
    assert four_bit_weights(path) == DENSE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"float_layers": ("nowhere",)}, "float_layers: no layer 'nowhere'"),
        ({"operations": ("add",)}, "no operation 'add' can be quantized"),
        ({"method": "mse"}, "'mse' changes nothing: only weights are quantized"),
        (
            {"bias_correction": True},
            "has no bias_correction: int8 and w8a16 of onnx, qnn and tflite only",
        ),
        ({"gptq": True}, "has no gptq: qnn only"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_a_user_error(
    folder, quantizer, format, changes, words
) -> None:
    path = folder / f"no{SUFFIXES[format]}"
    with pytest.raises(UserError, match=words):
        quantizer.quantize(plan(format, **changes), path)
    assert not path.exists()


def test_onnx_has_none_and_says_so_before_anything_is_loaded(run_lolvit) -> None:
    ended = run_lolvit("export", "lolvit_xx", "--to", "onnx", "--precision", "w4")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "ONNX has no convolution with 4-bit weights, tflite and coreml have one" in ended.stderr
