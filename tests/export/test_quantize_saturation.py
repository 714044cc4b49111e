"""int8 weights give the same on x86 processors that add products in 16 bits and in 32."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lolvit_export.quantization.onnx_graph import Graph, run_activations
from lolvit_export.quantization.onnx_qdq import quantized_model
from lolvit_runtimes.ort import session_options

Floats = npt.NDArray[np.float32]
Case = tuple[str, tuple[int, ...], tuple[int, ...], int]

# Operation, shapes of the image and of the weight, groups.
CASES: dict[str, Case] = {
    "pointwise": ("Conv", (1, 32, 6, 6), (16, 32, 1, 1), 1),
    "window": ("Conv", (1, 8, 6, 6), (16, 8, 3, 3), 1),
    "colours": ("Conv", (1, 3, 8, 8), (16, 3, 3, 3), 1),
    "grey": ("Conv", (1, 1, 8, 8), (16, 1, 3, 3), 1),
    "grouped": ("Conv", (1, 16, 6, 6), (16, 4, 3, 3), 4),
    "two outputs a channel": ("Conv", (1, 8, 6, 6), (16, 1, 3, 3), 8),
    "depthwise": ("Conv", (1, 16, 8, 8), (16, 1, 3, 3), 16),
    "linear": ("Gemm", (1, 31), (31, 10), 1),
    "linear, transposed": ("Gemm", (1, 32), (10, 32), 1),
    "product": ("MatMul", (1, 32), (32, 10), 1),
}


def quantized(case: Case, weight: Floats, bits: int = 8, *, gemm: bool = False) -> onnx.ModelProto:
    """Return one layer that reads activations of 0 to 1, quantized."""
    kind, shape, _, groups = case
    attributes: dict[str, int] = {"group": groups} if kind == "Conv" else {}
    if kind == "Gemm":
        attributes["transB"] = int(weight.shape[1] == shape[1])
    layer = helper.make_node(kind, ["image", "w"], ["result"], "layer", **attributes)
    graph = helper.make_graph(
        [layer],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    largest = float(np.abs(weight).sum())
    ranges = {"image": (0.0, 1.0), "result": (-largest, largest)}
    return quantized_model(Graph(model), ["layer"], ranges, bits, gemm=["layer"] if gemm else [])


def stored_weight(model: onnx.ModelProto) -> npt.NDArray[np.int64]:
    tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return tensors["layer/weight/quantized"].astype(np.int64)


def run(model: onnx.ModelProto, image: Floats, *, optimized: bool) -> Floats:
    options = session_options(threads=1)
    if not optimized:  # what the file says, in floats
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (result,) = session.run(None, {"image": image})
    return np.asarray(result, np.float32)


def neighbours(row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the sums of all even values with the next ones, where the larger signs agree."""
    values = row.tolist() + [0] * (len(row) % 2)
    pairs = [pair for place, pair in enumerate(pairwise(values)) if place % 2 == 0]
    return np.array([sum(max(v * s, 0) for v in pair) for pair in pairs for s in (1, -1)])


@pytest.mark.parametrize("name", [name for name in CASES if name != "depthwise"])
@given(seed=st.integers(0, 2**32 - 1), gemm=st.booleans(), bias=st.sampled_from([0.0, 2.0, -2.0]))
def test_no_two_neighbours_exceed_16_bits_with_the_largest_activations(
    name: str, seed: int, gemm: bool, bias: float
) -> None:
    case = CASES[name]
    random = np.random.default_rng(seed)
    weight = (random.standard_normal(case[2]) + bias).astype(np.float32)
    stored = stored_weight(quantized(case, weight, gemm=gemm and case[0] == "Conv"))
    by_outputs = name not in ("linear", "product")
    rows = stored if by_outputs else stored.T
    orders = [rows, np.moveaxis(rows, 1, -1)]
    sums = [neighbours(row.reshape(-1)) for order in orders for row in order]
    assert 255 * max(each.max() for each in sums) < 2**15
    assert np.abs(stored).max() >= 126 / 2 - 1  # at most one bit less


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_brightest_image_gives_what_the_file_says(name: str, sign: int) -> None:
    # Without VNNI, weights of the full range give half of it.
    case = CASES[name]
    model = quantized(case, np.full(case[2], 0.1 * sign, np.float32))
    image = np.ones(case[1], np.float32)
    exact = run(model, image, optimized=False)
    found = run(model, image, optimized=True)
    assert np.abs(exact).min() > 0.1 / 2
    assert np.abs(found - exact).max() < np.abs(exact).max() * 0.03


def test_depthwise_weights_and_those_of_16_bit_activations_keep_their_range() -> None:
    depthwise = CASES["depthwise"]
    assert stored_weight(quantized(depthwise, np.full(depthwise[2], 0.1, np.float32))).max() == 127
    pointwise = CASES["pointwise"]
    weight = np.full(pointwise[2], 0.1, np.float32)
    assert stored_weight(quantized(pointwise, weight)).max() == 64
    assert stored_weight(quantized(pointwise, weight, bits=16)).max() == 127


def test_neighbours_of_opposite_signs_keep_their_range() -> None:
    weight = np.tile(np.array([0.1, -0.1], np.float32), (16, 16))[..., None, None]
    assert np.abs(stored_weight(quantized(CASES["pointwise"], weight))).max() == 127


def test_activations_of_weights_of_the_full_range_are_exact_while_quantizing() -> None:
    # HTP, whose weights have the full range, clips nothing: neither does bias correction.
    case = CASES["pointwise"]
    model = quantized(case, np.full(case[2], 0.1, np.float32))
    (weight,) = (t for t in model.graph.initializer if t.name == "layer/weight/quantized")
    weight.CopyFrom(numpy_helper.from_array(np.full(case[2], 127, np.int8), weight.name))
    image = np.ones(case[1], np.float32)
    ((_, found),) = run_activations(model, ["result"], [image])
    assert np.abs(found - run(model, image, optimized=False)).max() < found.max() * 0.03
