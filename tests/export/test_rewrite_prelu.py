"""PReLU as a sum with one ReLU, and what converters make of it on maps and vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import lolvit
from lolvit_export.capture import capture
from lolvit_export.rewrites import apply
from lolvit_export.rewrites.prelu_to_relu import PreluToRelu
from tests.export.rewriting import (
    Model,
    image_like,
    match_failures,
    operations,
    relative_error,
    rewritten,
    some_shapes,
)

slopes = st.lists(st.floats(-3, 3), min_size=3, max_size=3)


@some_shapes
@given(slopes, st.booleans())
def test_any_slopes_give_the_same(values: list[float], vectors: bool) -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        return m.act(x.mean((2, 3)) if vectors else x)

    model = Model(forward, act=nn.PReLU(3))
    model.act.weight.data = torch.tensor(values, dtype=torch.float64)
    graph, record = rewritten(PreluToRelu(), model)
    assert record.applied == 1 and "prelu" not in operations(graph)
    assert operations(graph).count("mul") == (2 if max(values) > 1 else 1)


def test_one_slope_for_all_channels_is_kept_as_one() -> None:
    model = Model(lambda m, x: m.act(x), act=nn.PReLU(1))
    model.act.weight.data = torch.tensor([0.25], dtype=torch.float64)
    graph, record = rewritten(PreluToRelu(), model)
    assert record.applied == 1
    assert operations(graph) == ["mul", "relu", "add"]
    assert [tensor.numel() for name, tensor in graph.named_buffers() if "bend" in name] == [1]


def test_a_computed_slope_is_left() -> None:
    model = Model(lambda m, x: F.prelu(x, x.mean((0, 2, 3))))
    assert match_failures(PreluToRelu(), model) == ["its slopes are computed"]


def test_maps_can_be_left_and_vectors_not() -> None:
    model = Model(lambda m, x: m.a(m.b(x).mean((2, 3))), a=nn.PReLU(3), b=nn.PReLU(3))
    before = capture(model, (8, 8), 3)
    after, record = apply(PreluToRelu(maps=False), before)
    assert record.applied == 1 and [line.split(": ")[1] for line in record.match_failures] == [
        "it is of a map"
    ]
    image = image_like(before)
    assert relative_error(after(image), before(image)) < 1e-10


class Detector(nn.Module):
    """A network of face detection as MTCNN has them: PReLU on maps and behind a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.PReLU(16), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(16, 32, 3), nn.PReLU(32), nn.Flatten(), nn.LazyLinear(64), nn.PReLU(64),
        )  # fmt: skip
        self.score, self.box = nn.Linear(64, 2), nn.Linear(64, 4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.maps(image)
        return self.box(x), self.score(x).softmax(1)


@pytest.mark.slow
def test_tflite_and_core_ml_have_it_on_maps_and_vectors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Detector().eval()
    model(torch.zeros(1, 3, 24, 24))
    for act in (each for each in model.modules() if isinstance(each, nn.PReLU)):
        nn.init.uniform_(act.weight, -0.5, 1.5)
    exported = lolvit.export(
        model, size=24, targets=["onnx", "tflite", "coreml"], precision=["fp32"], out=tmp_path
    )
    artifacts = exported.manifest.artifacts
    assert len(artifacts) == 3 and all(gate.passed for each in artifacts for gate in each.gates)
    path = exported.folder / "model-fp32.tflite"
    interpreter = Interpreter(str(path))
    found = [each["op_name"] for each in interpreter._get_ops_details()]
    assert found.count("FULLY_CONNECTED") == 3  # once each, no copy with the sign changed
    parameters = sum(np.prod(each.shape) for each in model.parameters())
    assert path.stat().st_size < 4 * parameters + 16_000
