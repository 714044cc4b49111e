"""What is computed of weights alone is a constant, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import lolvit
from lolvit_export.capture import capture
from lolvit_export.rewrites import apply
from lolvit_export.rewrites.fold_constants import FoldConstants
from tests.export.rewriting import Model, match_failures, operations, rewritten, some_shapes

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "scale": lambda w: w * 0.7 + 0.1,
    "transpose": lambda w: w.transpose(2, 3),
    "standardize": lambda w: F.batch_norm(w.reshape(1, len(w), -1), None, None, training=True)
    .reshape(w.shape),
    "gather": lambda w: w[:, :, torch.arange(w.shape[2]).flip(0)],
    "halves": lambda w: torch.cat([*reversed(w.chunk(2))]),
    "largest": lambda w: w * w.max(2, keepdim=True)[0],
}  # fmt: skip


@some_shapes
@given(st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=5))
def test_any_chain_of_operations_on_a_weight_is_one_constant(steps: list[str]) -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        weight = m.layer.weight
        for step in steps:
            weight = STEPS[step](weight)
        return F.conv2d(x, weight, padding=1)

    graph, record = rewritten(FoldConstants(), Model(forward, layer=nn.Conv2d(3, 6, 3)))
    assert record.applied and operations(graph) == ["conv2d"]


@pytest.mark.parametrize("function", [
    lambda m, x: F.conv2d(x, m.layer.weight + 0 * torch.rand(1)),
    lambda m, x: F.conv2d(x, m.layer.weight * x.mean()),
    lambda m, x: x.mean((2, 3)) @ m.layer.weight[:3, :, 0, 0].sigmoid().bernoulli(),
], ids=["random", "of the image", "random with a weight"])  # fmt: skip
def test_what_differs_from_run_to_run_stays(
    function: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    graph = capture(Model(function, layer=nn.Conv2d(3, 6, 3)), (8, 8))
    before = set(operations(graph))
    kept = {"rand", "mul", "bernoulli"} & before
    assert kept and kept <= set(operations(apply(FoldConstants(), graph)[0]))


def test_a_large_constant_of_a_small_one_stays() -> None:
    table = torch.ones(6, 1, 1)
    model = Model(lambda m, x: (m.table.expand(6, 512, 512) * x.mean()).sum((1, 2)), table=table)
    assert match_failures(FoldConstants(), model) == ["the constant would have 1572864 elements"]


def test_a_constant_output_is_computed_as_before() -> None:
    (failure,) = match_failures(
        FoldConstants(), Model(lambda m, x: m.table * 2, table=torch.ones(1, 6))
    )
    assert failure.startswith("it is an output")


def test_standardized_weights_and_resized_position_embeddings_are_constants() -> None:
    for name, size in (("test_nfnet", (64, 64)), ("test_vit", (96, 128))):
        torch.manual_seed(0)
        model = timm.create_model(name, **({"img_size": size} if "vit" in name else {}))
        graph, record = rewritten(FoldConstants(), model.double().eval(), size)
        assert record.applied
        computed = [
            node.name
            for node in graph.graph.nodes
            if isinstance(node.meta.get("val"), Tensor)
            and node.op == "call_function"
            and all(read.op == "get_attr" for read in node.all_input_nodes)
        ]
        assert not computed


@pytest.mark.slow
def test_a_transformer_at_a_size_that_it_was_not_trained_at_reaches_every_format(
    tmp_path: Path,
) -> None:
    exported = lolvit.export(
        "timm/test_vit", size=(96, 128), targets=["onnx", "tflite", "coreml"], precision=["fp32"],
        out=tmp_path,
    )  # fmt: skip
    assert len(exported.manifest.artifacts) == 3 and not exported.failures
