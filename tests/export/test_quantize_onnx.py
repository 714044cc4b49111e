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
from lolvit_export.quantization.onnx import OnnxQuantizer
from lolvit_export.quantization.onnx_forms import with_global_pools
from lolvit_export.quantization.onnx_gemm import gemm_depth
from lolvit_export.quantization.onnx_graph import Graph
from lolvit_export.quantization.onnx_joins import shared_ranges, shifted_joins
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


def test_only_the_classifier_gives_the_output(quantizer: OnnxQuantizer) -> None:
    assert [each.operation for each in quantizer.layers() if each.is_output] == ["Gemm"]


def test_what_is_behind_the_last_convolutions_gives_the_output_too() -> None:
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["shared"], "shared"),
        helper.make_node("Conv", ["shared", "w"], ["left"], "left"),
        helper.make_node("Conv", ["shared", "w"], ["right"], "right"),
        helper.make_node("Concat", ["left", "right"], ["joined"], "joined", axis=1),
        helper.make_node("Sigmoid", ["joined"], ["result"], "scores"),
    ]
    graph = Graph(made_of(nodes, {"w": noise(4, 4, 1, 1)}))
    assert graph.output_operations == {"left", "right", "joined", "scores"}


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
        ({"gemm_layers": ("nowhere",)}, "'nowhere' can't be computed as a product of matrices"),
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


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_zero_point_of_one_in_weights_changes_no_more_than_their_rounding(
    window: int, pads: int, stride: int
) -> None:
    weight = noise(16, 4, window, window)
    weight[3] = 0
    where = {"pads": [pads] * 4, "strides": [stride] * 2}
    model = made_of(
        [helper.make_node("Conv", ["image", "w", "b"], ["result"], "conv", **where)],
        {"w": weight, "b": noise(16)},
    )
    ranges = {"image": (-4.0, 3.0), "result": (-40.0, 40.0)}
    integers = quantized_model(Graph(model), ["conv"], ranges, 8, gemm=["conv"])
    image = noise(*IMAGE)
    exact, found = run(model, image), run(integers, image)
    assert np.abs(found - exact).max() < 2 * 80 / 255
    stored = {each.name: numpy_helper.to_array(each) for each in integers.graph.initializer}
    assert set(stored["conv/weight/zero_point"]) == {1}
    qweight = stored["conv/weight/quantized"].astype(np.float32) - 1
    scales = stored["conv/weight/scale"].reshape(-1, 1, 1, 1)
    assert (np.abs(qweight * scales - weight) <= scales * 0.501).all()


@pytest.mark.parametrize(
    ("shape", "group", "depth"),
    [
        ((16, 4, 1, 1), 1, 4),
        ((16, 4, 3, 3), 1, 36),
        ((12, 4, 1, 1), 1, 0),  # too few outputs
        ((18, 4, 1, 1), 1, 0),  # not a multiple of four
        ((16, 2, 1, 1), 2, 0),  # grouped
    ],
)
def test_convolutions_with_both_kinds_of_kernels_have_a_depth(
    shape: tuple[int, ...], group: int, depth: int
) -> None:
    node = helper.make_node("Conv", ["image", "w"], ["result"], "conv", group=group)
    assert gemm_depth(Graph(made_of([node], {"w": noise(*shape)})), node) == depth


def test_other_operations_and_computed_weights_have_no_depth() -> None:
    relu = helper.make_node("Relu", ["image"], ["result"], "relu")
    assert gemm_depth(Graph(made_of([relu], {})), relu) == 0
    computed = helper.make_node("Conv", ["image", "image"], ["result"], "conv")
    assert gemm_depth(Graph(made_of([computed], {})), computed) == 0


@pytest.mark.parametrize(("precision", "some"), [("int8", True), ("w8a16", False)])
def test_only_int8_has_products_of_matrices(
    precision: Precision, some: bool, folder: Path, fp32: Artifact, images: Images
) -> None:
    layers = make(folder, fp32, images, precision).layers()
    assert any(layer.gemm_depth for layer in layers) == some


def test_a_plan_names_convolutions_by_products_of_matrices(
    folder: Path, quantizer: OnnxQuantizer, images: Images
) -> None:
    names = [layer.name for layer in quantizer.layers() if layer.gemm_depth]
    path = folder / "gemm.onnx"
    artifact = quantizer.quantize(plan(gemm_layers=names), path)
    stored = {each.name: each for each in onnx.load(str(path)).graph.initializer}
    found = {
        name.removesuffix("/weight/zero_point")
        for name, each in stored.items()
        if name.endswith("/weight/zero_point") and numpy_helper.to_array(each).all()
    }
    assert found == set(names)
    plain = quantizer.quantize(plan(), folder / "plain.onnx")
    given = [logits(folder / each.path, each, images.tuning) for each in (artifact, plain)]
    differ = np.concatenate(given[0]) - np.concatenate(given[1])
    assert np.std(differ) < 0.1 * np.std(np.concatenate(given[1]))


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
    assert shared_ranges(graph, ["cat"], signed, ()) == signed
    positive = {"positive": (0.0, 2.0), "other": (0.0, 1.0), "result": (0.0, 2.0)}
    shared = shared_ranges(graph, ["cat"], positive, ())
    assert set(shared.values()) == {(0.0, 2.0)}
    assert shared_ranges(graph, [], positive, ()) == positive


def mixed_join(last: onnx.NodeProto, **weights: Floats) -> Graph:
    """Return a model that joins a ReLU's 8 channels with 8 signed ones for `last`."""
    join = helper.make_node("Concat", ["positive", "other"], ["joined"], "cat", axis=1)
    return Graph(made_of([*joined_parts(), join, last], {"w": noise(8, 4, 1, 1)} | weights))


MIXED = {"image": (-4.0, 4.0), "positive": (0.0, 6.0), "other": (-7.0, 6.0), "joined": (-7.0, 6.0)}


def reading(**attributes: Any) -> onnx.NodeProto:
    """Return a convolution of what is joined, with the weight `v`."""
    return helper.make_node("Conv", ["joined", "v"], ["result"], "last", **attributes)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("gemm", [(), ("last",)])
def test_a_relu_and_signed_channels_are_joined_by_copying(
    biased: bool, gemm: tuple[str, ...], tmp_path: Path
) -> None:
    weights = {"v": noise(4, 16, 1, 1)} | ({"b": noise(4)} if biased else {})
    last = helper.make_node("Conv", ["joined", *weights], ["result"], "last")
    graph = mixed_join(last, **weights)
    chosen = ["conv", "other", "cat", "last"]
    fitted = MIXED | {"result": (-40.0, 40.0)}
    shifted = shifted_joins(graph, chosen, fitted)
    assert shifted == {"cat"}
    ranges = shared_ranges(graph, chosen, fitted, shifted)
    assert ranges["joined"] == (0, 13) and ranges["other"] == (-7, 6)
    integers = quantized_model(graph, chosen, ranges, 8, shifted, gemm)
    image = noise(*IMAGE)
    exact, found = run(graph.model, image), run(integers, image)
    step = 80 / 255
    assert np.abs(found - exact).max() < 2 * step and np.abs((found - exact).mean()) < step / 8
    kinds = optimised(integers, tmp_path / "optimised.onnx")
    assert (kinds["QLinearConcat"], kinds["QLinearConv"], kinds["Relu"]) == (1, 2, 0)
    read = {name for node in integers.graph.node for name in node.input}
    made = {name: node for node in integers.graph.node for name in node.output}
    assert set(made) - read <= {"result", "result/dequantized"}  # what nobody reads takes time
    (join,) = (node for node in integers.graph.node if node.op_type == "Concat")
    stored = {each.name: numpy_helper.to_array(each) for each in integers.graph.initializer}
    (after,) = (node for node in integers.graph.node if join.output[0] in node.input)
    steps = [made[name].input[1:] for name in join.input] + [after.input[1:]]
    assert len({tuple(float(stored[name]) for name in each) for each in steps}) == 1


@pytest.mark.parametrize(
    ("last", "weights"),
    [
        (helper.make_node("Relu", ["joined"], ["result"], "last"), {}),
        (reading(), {"v": noise(4, 16, 3, 3)}),
        (reading(group=2), {"v": noise(4, 8, 1, 1)}),
        (reading(pads=[1] * 4), {"v": noise(4, 16, 1, 1)}),
    ],
    ids=["no convolution", "3x3", "grouped", "padded"],
)  # fmt: skip
def test_a_join_that_something_else_reads_has_no_shift(
    last: onnx.NodeProto, weights: dict[str, Floats]
) -> None:
    graph = mixed_join(last, **weights)
    assert shifted_joins(graph, ["conv", "other", "cat", "last"], MIXED) == frozenset()


def test_joins_of_one_sign_or_in_float_have_no_shift() -> None:
    graph = mixed_join(reading(), v=noise(4, 16, 1, 1))
    everything = ["conv", "other", "cat", "last"]
    assert shifted_joins(graph, everything, MIXED) == {"cat"}
    assert shifted_joins(graph, everything, MIXED | {"other": (0.0, 1.0)}) == frozenset()
    for name in ("cat", "last"):
        assert shifted_joins(graph, {*everything} - {name}, MIXED) == frozenset()


def mean_of(axes: list[int], keepdims: int, *, flat: bool = False) -> onnx.ModelProto:
    """Return a model that averages what a convolution gives, which is (1, 8, 6, 6), or `flat`
    (1, 8, 36)."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["given"], "conv"),
        *[helper.make_node("Reshape", ["given", "shape"], ["flat"], "reshape")][:flat],
        helper.make_node(
            "ReduceMean", ["flat" if flat else "given", "axes"], ["result"], "mean",
            keepdims=keepdims,
        ),
    ]  # fmt: skip
    model = made_of(nodes, {"w": noise(8, 4, 1, 1)})
    for name, values in {"axes": axes, "shape": [1, 8, 36]}.items():
        tensor = numpy_helper.from_array(np.asarray(values, np.int64), name)
        model.graph.initializer.append(tensor)
    unknown = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    model.graph.output[0].CopyFrom(unknown)
    return model


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mean_over_height_and_width_is_an_integer_pool(axes: list[int], keepdims: int) -> None:
    model = mean_of(axes, keepdims)
    pooled = with_global_pools(model)
    assert [node.op_type for node in pooled.graph.node][:2] == ["Conv", "GlobalAveragePool"]
    image = noise(*IMAGE)
    assert np.allclose(run(pooled, image), run(model, image), rtol=1e-5, atol=1e-6)
    graph = Graph(pooled)
    ranges = {"image": (-4.0, 4.0), "given": (-8.0, 8.0), "result": (-1.0, 1.0)}
    ranges["result/pooled"] = ranges["result"]
    integers = quantized_model(graph, ["conv", "mean"], ranges, 8)
    assert np.abs(run(integers, image) - run(model, image)).max() < 0.02


def test_other_means_stay() -> None:
    for model in (mean_of([2], 1), mean_of([1, 2, 3], 1), mean_of([2], 1, flat=True)):
        assert list(with_global_pools(model).graph.node) == list(model.graph.node)
