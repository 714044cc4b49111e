"""A quantized ONNX artifact runs in integer kernels, as near to the float one as it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lolvit.errors import UserError
from lolvit.manifest import Artifact, Precision, check_artifact
from lolvit_export.quantization.images import Images
from lolvit_export.quantization.onnx import OnnxQuantizer, shared_ranges
from lolvit_export.quantization.onnx_graph import Graph
from lolvit_export.quantization.onnx_qdq import quantized_model
from lolvit_export.quantization.plan import Method, Plan
from lolvit_export.quantization.rounding import quant_params
from lolvit_runtimes.ort import session_options
from lolvit_runtimes.preprocessing import Pixels
from tests.export import small_net

Floats = npt.NDArray[np.float32]
WIDE = ("Conv", "Gemm", "Add", "Concat")
IMAGE = (1, 4, 6, 6)


@pytest.fixture(scope="module")
def fp32(folder: Path, model: small_net.SmallNet) -> Artifact:
    return small_net.lower(model, "onnx", folder)


@pytest.fixture(scope="module")
def quantizer(folder: Path, fp32: Artifact, images: Images) -> OnnxQuantizer:
    return make(folder, fp32, images, "int8")


def make(folder: Path, fp32: Artifact, images: Images, precision: Precision) -> OnnxQuantizer:
    return OnnxQuantizer(folder / fp32.path, fp32, images, small_net.PREPROCESS, precision)


def plan(**changes: Any) -> Plan:
    return small_net.plan("onnx", WIDE, changes)


def logits(path: Path, artifact: Artifact, crops: tuple[Pixels, ...]) -> list[np.ndarray]:
    return small_net.logits("ort", path, artifact, crops)


def optimised(model: onnx.ModelProto, path: Path) -> Counter[str]:
    """Return the kinds of operations that ONNX Runtime makes of a model."""
    options = session_options(threads=1)
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_int8_is_near_to_float(
    method: Method, folder: Path, fp32: Artifact, images: Images, quantizer: OnnxQuantizer
) -> None:
    path = folder / "model-int8.onnx"
    artifact = quantizer.quantize(plan(method=method), path)
    check_artifact(folder, artifact)
    exact = logits(folder / fp32.path, fp32, images.held_out)
    found = logits(path, artifact, images.held_out)
    assert small_net.snr_db(exact, found) > 25


def test_16_bits_are_nearer_than_8(
    folder: Path, fp32: Artifact, images: Images, quantizer: OnnxQuantizer
) -> None:
    exact = logits(folder / fp32.path, fp32, images.held_out)
    ratios = {}
    for precision in ("int8", "w8a16"):
        path = folder / f"model-{precision}.onnx"
        one = make(folder, fp32, images, precision)
        artifact = one.quantize(plan(precision=precision), path)
        assert artifact.precision == precision
        ratios[precision] = small_net.snr_db(exact, logits(path, artifact, images.held_out))
        codes = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
        assert TensorProto.INT8 in codes
        assert (
            (TensorProto.UINT16 in codes) == (precision == "w8a16") != (TensorProto.UINT8 in codes)
        )
    assert ratios["w8a16"] > max(ratios["int8"], 28)


def test_what_is_quantized_runs_in_integer_kernels(folder: Path, quantizer: OnnxQuantizer) -> None:
    path = folder / "model-int8.onnx"
    quantizer.quantize(plan(), path)
    kinds = optimised(onnx.load(path), folder / "optimised.onnx")
    assert kinds["QLinearConv"] == 7
    assert kinds["Conv"] == kinds["FusedConv"] == kinds["Gemm"] == 0
    assert kinds["QGemm"] == kinds["QLinearConcat"] == 1


def test_a_layer_that_the_plan_leaves_is_in_float(folder: Path, quantizer: OnnxQuantizer) -> None:
    path = folder / "model-int8.onnx"
    first = quantizer.layers()[0]
    quantizer.quantize(plan(float_layers=(first.name,)), path)
    kinds = optimised(onnx.load(path), folder / "optimised.onnx")
    assert kinds["QLinearConv"] == 6 and kinds["Conv"] + kinds["FusedConv"] == 1


def test_the_divisor_of_attention_is_no_layer(quantizer: OnnxQuantizer, fp32: Artifact) -> None:
    assert sum(layer.operation == "Add" for layer in quantizer.layers()) == 1


def test_recipes_name_what_the_model_has(quantizer: OnnxQuantizer) -> None:
    kinds = {layer.operation for layer in quantizer.layers()}
    recipes = quantizer.recipes()
    assert len(recipes) >= 3
    assert len({frozenset(each) for each in recipes.values()}) == len(recipes)
    assert all(set(each) <= kinds for each in recipes.values())


def test_the_same_plan_gives_the_same_bytes(folder: Path, quantizer: OnnxQuantizer) -> None:
    first = quantizer.quantize(plan(), folder / "first.onnx")
    assert quantizer.quantize(plan(), folder / "second.onnx").sha256 == first.sha256


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"float_layers": ("nowhere",)}, "no layer 'nowhere'"),
        ({"operations": ("Conv", "Softmax")}, "no operation 'Softmax'"),
        ({"operations": ()}, "leaves every layer in float"),
        ({"gptq": True}, "has no gptq: qnn only"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    changes: dict[str, Any], line: str, folder: Path, quantizer: OnnxQuantizer
) -> None:
    with pytest.raises(UserError, match=line):
        quantizer.quantize(plan(**changes), folder / "refused.onnx")
    assert not (folder / "refused.onnx").exists()


def made_of(nodes: list[onnx.NodeProto], weights: dict[str, Floats]) -> onnx.ModelProto:
    """Return a model from `image` (1, 4, 6, 6) to `result`."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["b", "c", "h", "w"])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, image: Floats) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: Floats = session.run(None, {"image": image})[0]
    return result


def noise(*shape: int) -> Floats:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("limits", [(-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)])
def test_zero_is_exact_in_every_range(limits: tuple[float, float], bits: int) -> None:
    params = quant_params(limits, bits)
    assert 0 <= params.zero_point < 2**bits
    least, largest = params.limits(bits)
    assert least <= min(limits[0], 0) + params.scale
    assert largest >= max(limits[1], 0) - params.scale
    assert params.dequantize(params.quantize(np.zeros(1), bits)) == 0


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    weight = noise(8, 4, 1, 1)
    weight[3] = 0
    model = made_of(
        [helper.make_node("Conv", ["image", "w", "b"], ["result"], "conv")],
        {"w": weight, "b": np.full(8, 2.5, np.float32)},
    )
    result = quantized_model(Graph(model), ["conv"], {"image": (-4, 4), "result": (-20, 20)}, 8)
    found = run(result, noise(*IMAGE))
    assert np.abs(found[0, 3] - 2.5).max() <= 40 / 255 / 2 + 1e-3


def joined_parts() -> Iterator[onnx.NodeProto]:
    yield helper.make_node("Conv", ["image", "w"], ["signed"], "conv")
    yield helper.make_node("Relu", ["signed"], ["positive"], "relu")
    yield helper.make_node("Conv", ["image", "w"], ["other"], "other")


def test_what_a_join_copies_has_one_range_unless_a_relu_would_be_lost() -> None:
    nodes = [
        *joined_parts(),
        helper.make_node("Concat", ["positive", "other"], ["result"], "cat", axis=1),
    ]
    graph = Graph(made_of(nodes, {"w": noise(8, 4, 1, 1)}))
    signed = {"positive": (0.0, 2.0), "other": (-1.0, 1.0), "result": (-1.0, 2.0)}
    assert shared_ranges(graph, ["cat"], signed) == signed
    positive = {"positive": (0.0, 2.0), "other": (0.0, 1.0), "result": (0.0, 2.0)}
    shared = shared_ranges(graph, ["cat"], positive)
    assert set(shared.values()) == {(0.0, 2.0)}
    assert shared_ranges(graph, [], positive) == positive
