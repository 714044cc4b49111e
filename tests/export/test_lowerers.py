"""The lowering that runs in a process of its own: what it gives, and how it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lolvit.errors import DeviceError, UserError
from lolvit.manifest import Preprocessing, Signature, TensorSpec
from lolvit_export.capture import capture
from lolvit_export.lowering.lowerers import Lowerers, LoweringChild, packed
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.rewrites import STATIC_REWRITE, apply_all
from lolvit_runtimes.bare import describe
from lolvit_runtimes.session import open_session
from tests.processes import children_of, wait_until_ended
from tests.sessions import run_image

PREPROCESS = Preprocessing(size=(32, 48), crop_pct=0.9, mean=(0.5,) * 3, std=(0.5,) * 3)


def asked(folder: Path) -> LoweringRequest:
    """Return the request for the fp32 ONNX artifact of the graph."""
    image = TensorSpec(name="image", shape=(1, 3, 32, 48), layout="NCHW", meaning="normalized")
    logits = TensorSpec(name="logits", shape=(1, 5), layout="NC", meaning="logits")
    signature = Signature(inputs=(image,), outputs=(logits,))
    return LoweringRequest(folder, "onnx", ("fp32",), signature, PREPROCESS)


@pytest.fixture(autouse=True)
def own_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere tests share them."""
    monkeypatch.setattr("lolvit_export.lowering.lowerers.LoweringChild", LoweringChild)


@pytest.fixture
def graph() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten(), nn.Linear(8, 5)).eval()  # fmt: skip
    return apply_all(STATIC_REWRITE, capture(model, PREPROCESS.size))[0]


@pytest.fixture
def child() -> Iterator[LoweringChild]:
    made = LoweringChild("onnx")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("formats", "beside", "here"),
    [
        (("onnx",), None, ("onnx",)),
        (("tflite",), None, ("tflite",)),
        (("onnx", "tflite", "coreml"), "tflite", ("coreml", "onnx")),
        (("onnx", "coreml"), "coreml", ("onnx",)),
    ],
)
def test_the_slowest_of_several_runs_beside_the_others(
    formats: tuple[str, ...], beside: str | None, here: tuple[str, ...]
) -> None:
    with Lowerers(formats) as lowerers:
        assert (lowerers.beside, lowerers.here) == (beside, here)


@pytest.mark.slow
def test_a_child_writes_what_this_process_would(
    child: LoweringChild, graph: torch.fx.GraphModule, tmp_path: Path
) -> None:
    (lowered,) = child.lower(packed(graph, asked(tmp_path)))
    assert lowered.path == tmp_path / "model-fp32.onnx"
    assert lowered.inputs[0].shape == (1, 3, 32, 48)
    assert lowered.outputs[0].shape == (1, 5)
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 48)).astype(np.float32)
    session = open_session("ort", lowered.path, describe(lowered.path, "onnx"))
    expected = graph(torch.from_numpy(image)).detach().numpy()
    np.testing.assert_allclose(run_image(session, image), expected, atol=1e-6)


@pytest.mark.slow
def test_a_converter_that_fails_is_a_bug_with_its_traceback(
    child: LoweringChild, graph: torch.fx.GraphModule, tmp_path: Path
) -> None:
    image = next(node for node in graph.graph.nodes if node.op == "placeholder")
    with graph.graph.inserting_after(image):
        eigenvalues = graph.graph.call_function(torch.ops.aten.linalg_eigvals.default, (image,))
    image.replace_all_uses_with(eigenvalues, lambda user: user is not eigenvalues)
    with pytest.raises(RuntimeError, match="lowering to onnx failed:\nTraceback"):
        child.lower(packed(graph, asked(tmp_path)))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_a_user_error(
    child: LoweringChild, graph: torch.fx.GraphModule, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        child.lower(packed(graph, asked(tmp_path / "file")))


def test_a_killed_child_is_one_line(
    child: LoweringChild, graph: torch.fx.GraphModule, tmp_path: Path
) -> None:
    child._process.kill()
    with pytest.raises(DeviceError, match="lowering to onnx was killed") as caught:
        child.lower(packed(graph, asked(tmp_path)))
    assert "free memory" in caught.value.line()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties children on Linux")
def test_no_child_outlives_an_export_that_was_killed_while_it_lowered(tmp_path: Path) -> None:
    options = ["--to", "onnx,tflite", "--size", "64x64", "--out", str(tmp_path)]
    export = subprocess.Popen(
        [sys.executable, "-m", "lolvit", "export", "lolvit_xx", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert export.stderr is not None
    with export.stderr as lines:
        assert any("lower to tflite" in line for line in lines)
        children = children_of(export.pid)
        export.kill()
        export.wait()
    assert any("lolvit_export.lowering.child" in command for command in children.values())
    wait_until_ended(children, 2)


def test_leaving_ends_the_child_whatever_it_does() -> None:
    with Lowerers(("onnx", "tflite")) as lowerers:
        assert lowerers._child is not None
        process = lowerers._child._process
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL


def test_a_child_whose_parent_is_gone_ends_by_itself() -> None:
    made = LoweringChild("onnx")
    assert made._process.stdin is not None
    made._process.stdin.close()  # as the kernel does when the parent dies
    deadline = time.monotonic() + 120
    while made._process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert made._process.returncode == os.EX_OK
    made.close()
