"""A new target and a new task are one file each, and nothing else changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "lolvit",
    "data/lolvit_data",
    "export/lolvit_export",
    "runtimes/lolvit_runtimes",
    "benchmarks/lolvit_benchmarks",
)
TARGET = '''
"""ONNX without its file's name: a target for this test."""

from lolvit_export.targets import PrecisionSpec, Target

TARGET = Target(
    name="toy",
    lowering="lolvit_export.targets.toy:lower",
    suffix=".onnx",
    tag="-toy",
    container="onnx",
    precisions={"fp32": PrecisionSpec(100)},
    runtimes={"host": ("ort",)},
    cost=1,
)


def lower(graph, request):
    from lolvit.files import write_atomic
    from lolvit_export.lowering.onnx import to_onnx

    model = to_onnx(graph, [spec.name for spec in request.outputs])
    write_atomic(request.path("fp32"), model.SerializeToString())
    return [request.lowered("fp32")]
'''
TASK = '''
"""Whether a picture is bright: a task for this test."""

from dataclasses import dataclass

from lolvit.tasks import Agreement


@dataclass(frozen=True)
class Brightness:
    value: float

    def as_document(self):
        return {"brightness": self.value}

    def rows(self):
        return [(f"{self.value:.3f}",)]


class BrightnessTask:
    name = "brightness"
    columns = ("brightness",)
    agreement = "same_side"
    agreement_thresholds = {"fp32": 1.0}

    def configure(self, size, postprocessing):
        return self

    def classes(self, outputs):
        return None

    def recognizes(self, outputs):
        return [shape for _, shape, _ in outputs] == [(1, 1)]

    def meaning(self, name):
        return "tensor"

    def postprocessing(self):
        return {"kind": "none"}

    def predict(self, outputs, model, options):
        (value,) = outputs.values()
        return Brightness(float(value[0, 0]))

    def compare(self, references, outputs, precision):
        pairs = [(a["output"], b["output"]) for a, b in zip(references, outputs, strict=True)]
        same = [(a[0, 0] > 0.5) == (b[0, 0] > 0.5) for a, b in pairs]
        return Agreement(float(sum(same)) / len(same))

    def is_right(self, outputs, label):
        return None


TASK = BrightnessTask()
'''
MODEL = """
from torch import nn


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, image):
        return self.convolution(image).mean((1, 2, 3), keepdim=False)[:, None]


def build():
    import torch

    torch.manual_seed(0)
    return Mean()
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the two files in it."""
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        name = Path(package).name
        shutil.copytree(ROOT / package, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "lolvit_export" / "targets" / "toy.py").write_text(TARGET)
    (root / "lolvit" / "tasks" / "brightness.py").write_text(TASK)
    (root / "my_model.py").write_text(MODEL)
    return root


def run(tree: Path, *arguments: object) -> dict[str, object]:
    """Run a command of the copy, and return its document."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-m", "lolvit", *map(str, arguments), "--json"],
        cwd=tree, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.mark.slow
def test_one_file_each_is_exported_verified_predicted_and_measured(tree: Path) -> None:
    from skimage import data

    photo = Path(data.__file__).parent / "coffee.png"
    exported = run(
        tree, "export", "my_model.py:build", "--size", 64, "--to", "toy,onnx",
        "--task", "brightness", "--out", tree / "out",
    )  # fmt: skip
    assert exported["task"] == "brightness"
    folder = Path(str(exported["folder"]))
    gates = {g["name"] for a in exported["artifacts"] for g in a["gates"]}  # type: ignore[attr-defined,index]
    assert gates == {"ort.snr_db", "ort.same_side"}
    verified = run(tree, "verify", folder / "model-fp32-toy.onnx")
    assert [a["format"] for a in verified["artifacts"]] == ["toy"]  # type: ignore[attr-defined]
    predicted = run(tree, "predict", folder / "model-fp32-toy.onnx", photo)
    assert predicted["runtime"] == "ort"
    assert "brightness" in predicted["predictions"][0]  # type: ignore[index]
    measured = run(
        tree, "bench", folder / "model-fp32-toy.onnx", "--against", folder / "model-fp32.onnx",
        "--runtime", "ort", "--profile", "quick", "--out", tree / "bench",
    )  # fmt: skip
    assert measured["results"]
