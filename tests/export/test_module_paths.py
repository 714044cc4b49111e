"""Which module an operation comes from is known through capture, rewrite and lowering."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.models import create_model
from lolvit.models.reparam import reparameterize
from lolvit_export.capture import MODEL_PATH, capture, recapture
from lolvit_export.lowering.onnx import to_onnx
from lolvit_export.lowering.onnx_names import name_added_nodes, path_in
from lolvit_export.module_paths import module_path
from lolvit_export.quiet import quiet
from lolvit_export.rewrites import STATIC_REWRITE, apply, apply_all
from tests.export.other_formulation import OtherLolvit

MODELS = ("lolvit_x", "timm/mobilevit_xs")


def calls(graph: GraphModule) -> list[torch.fx.Node]:
    return [node for node in graph.graph.nodes if node.op == "call_function"]


def captured(name: str) -> GraphModule:
    torch.manual_seed(0)
    return capture(reparameterize(create_model(name).eval()), (64, 64))


@pytest.fixture(scope="module", params=MODELS)
def rewritten(request: pytest.FixtureRequest) -> GraphModule:
    """A model's graph after the whole rewrite."""
    return apply_all(STATIC_REWRITE, captured(request.param))[0]


def test_every_operation_has_a_module_path_after_all_rewrites(rewritten: GraphModule) -> None:
    paths = [module_path(node) for node in calls(rewritten)]
    assert None not in paths
    assert all(path == MODEL_PATH or path.startswith(f"{MODEL_PATH}.") for path in paths)
    assert len(set(paths)) > 40


def test_a_recaptured_graph_keeps_the_module_paths(rewritten: GraphModule) -> None:
    before = [module_path(node) for node in calls(rewritten)]
    again = recapture(rewritten).graph_module
    assert [module_path(node) for node in calls(again)] == before


@pytest.mark.parametrize("model", [OtherLolvit, lambda: create_model("lolvit_xx")])
def test_each_applied_rewrite_gives_inserted_nodes_a_module_path(model) -> None:
    """One after the other, so that a rewrite which forgets is named."""
    graph, applied = capture(model().eval(), (60, 62)), set()
    for rewrite in STATIC_REWRITE:
        graph, record = apply(rewrite, graph)
        applied |= {rewrite.name} if record.applied else set()
        assert [node.name for node in calls(graph) if module_path(node) is None] == [], rewrite.name
    assert {
        "fold_batch_norm",
        "pad_avg_pool_to_divisible",
        "split_qkv_projection",
        "transpose_relu_attention",
    } <= applied


class _Halves(nn.Module):
    """Two convolutions in named parts, and an operation of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.stem(image).abs())


def test_a_folded_norm_is_placed_in_its_convolution_and_the_models_own_calls_in_the_model() -> None:
    graph, _ = apply_all(STATIC_REWRITE, capture(_Halves().eval(), (8, 8)))
    placed = {str(node.target).split(".")[1]: module_path(node) for node in calls(graph)}
    assert placed["conv2d"] == "model.stem.0"
    assert placed["abs"] == "model"
    assert placed["linear"] == "model.head.2"


@pytest.fixture(scope="module")
def file(rewritten: GraphModule) -> onnx.ModelProto:
    """A model lowered to ONNX."""
    with quiet():
        return to_onnx(rewritten, ["logits"])


def test_nodes_and_what_they_give_are_named_by_module(file: onnx.ModelProto) -> None:
    onnx.checker.check_model(file, full_check=True)
    names = [node.name for node in file.graph.node]
    assert len(set(names)) == len(names)
    for node in file.graph.node[:-1]:
        assert node.output[0] == node.name
    paths = {path_in(name) for name in names}
    assert any(path.startswith("stages.2.1.") for path in paths)
    assert sum(path == "" for path in map(path_in, names)) <= 2  # the model's own: ReLU and mean
    assert [value.name for value in file.graph.input] == ["image"]
    assert [value.name for value in file.graph.output] == ["logits"]


def test_names_cost_less_than_half_a_percent_of_the_file(file: onnx.ModelProto) -> None:
    whole = len(file.SerializeToString())
    bare = onnx.ModelProto()
    bare.CopyFrom(file)
    for node in bare.graph.node:
        node.name = ""
    named = {name: str(number) for number, node in enumerate(bare.graph.node)
             for name in node.output}  # fmt: skip
    for node in bare.graph.node:
        node.input[:] = [named.get(name, name) for name in node.input]
        node.output[:] = [named.get(name, name) for name in node.output]
    for info in bare.graph.value_info:
        info.name = named.get(info.name, info.name)
    assert whole - len(bare.SerializeToString()) < 0.005 * whole


def test_numbers_are_those_of_the_graph(rewritten: GraphModule, file: onnx.ModelProto) -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = rewritten(torch.from_numpy(image)).numpy()
    session = onnxruntime.InferenceSession(file.SerializeToString())
    (logits,) = session.run(None, {"image": image})
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


def test_nodes_of_a_simplifier_get_the_module_path_of_their_reader() -> None:
    """Of a split the first half isn't read; the product before it is placed by the split."""
    node = helper.make_node
    nodes = [
        node("Relu", ["image"], ["stem/relu"], name="stem/relu"),
        node("MatMul", ["stem/relu", "w"], ["_v_1"], name="MatMul_0"),
        node("Split", ["_v_1"], ["_v_2", "_v_3"], name="Split_1", num_outputs=2),
        node("Abs", ["_v_3"], ["blocks.0/abs"], name="blocks.0/abs"),
        node("Neg", ["blocks.0/abs"], ["logits"], name="Neg_2"),
    ]
    value = helper.make_tensor_value_info
    outputs = [value("logits", onnx.TensorProto.FLOAT, None)]
    model = helper.make_model(helper.make_graph(nodes, "graph", [], outputs))
    name_added_nodes(model, {"stem/relu", "blocks.0/abs"})
    given = {node.name: list(node.output) for node in model.graph.node}
    assert given["blocks.0/MatMul_0"] == ["blocks.0/MatMul_0"]
    assert given["blocks.0/Split_1"] == ["blocks.0/Split_1", "blocks.0/Split_1.1"]
    assert given["Neg_2"] == ["logits"]
    assert list(model.graph.node[3].input) == ["blocks.0/Split_1.1"]
