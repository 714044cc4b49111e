"""A small model, exported for real, with its manifest; and real photos."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lolvit.files import sha256_of, size_of
from lolvit.manifest import (
    Artifact,
    Manifest,
    Preprocessing,
    Signature,
    TensorSpec,
    Weights,
    read_manifest,
    write_manifest,
)
from tests.made_once import made_once

SIDE, CLASSES = 32, 10
# In scikit-image's wheel, so that no test downloads.
PHOTO_NAMES = (
    "astronaut", "coffee", "chelsea", "rocket",
    "hubble_deep_field", "retina", "immunohistochemistry", "camera",
)  # fmt: skip


SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), layout="NCHW", meaning="normalized"),
    ),
    outputs=(TensorSpec(name="logits", shape=(1, CLASSES), layout="NC", meaning="logits"),),
)


class TinyNet(nn.Module):
    """Convolution, ReLU, pooling, linear: (1, 3, 32, 32) to (1, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.linear = nn.Linear(8 * (SIDE // 4) ** 2, CLASSES)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.linear(self.pool(torch.relu(self.convolution(image))).flatten(1))


@pytest.fixture(scope="session")
def photos() -> dict[str, Image.Image]:
    """Eight real photos, RGB: landscape, portrait and square, 512 to 1,411 pixels wide."""
    data = importlib.import_module("skimage.data")
    return {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in PHOTO_NAMES}


@pytest.fixture(scope="session")
def tiny() -> nn.Module:
    """The eager model behind `exported`."""
    torch.manual_seed(0)
    return TinyNet().eval()


@pytest.fixture(scope="session")
def preprocessing() -> Preprocessing:
    return Preprocessing(
        size=(SIDE, SIDE), crop_pct=0.9, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )


@pytest.fixture(scope="session")
def exported(
    tiny: nn.Module, preprocessing: Preprocessing, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the small model as ONNX and TFLite, and a manifest that says untrained."""
    folder = tmp_path_factory.mktemp("exported")
    _export_onnx(tiny, folder / "model-fp32.onnx")
    _export_tflite(tiny, folder / "model-fp32.tflite")
    weights = folder / "weights.safetensors"
    importlib.import_module("safetensors.torch").save_file(tiny.state_dict(), weights)
    manifest = Manifest(
        model="tiny",
        params=sum(parameter.numel() for parameter in tiny.parameters()),
        macs=0,
        task="classification",
        size=(SIDE, SIDE),
        weights=Weights(sha256=sha256_of(weights), trained=False, source="random"),
        preprocessing=preprocessing,
        labels=tuple(f"class {index}" for index in range(CLASSES)),
        signature=SIGNATURE,
        artifacts=(describe(folder, "onnx"), describe(folder, "tflite")),
        tools={"torch": version("torch")},
        created="2026-01-01T00:00:00Z",
    )
    write_manifest(folder, manifest)
    return folder


def describe(folder: Path, format: str) -> Artifact:
    """Return the manifest's entry of the small model in a format."""
    path = folder / f"model-fp32.{format}"
    return Artifact(
        path=path.name,
        format=format,
        precision="fp32",
        sha256=sha256_of(path),
        bytes=size_of(path),
        inputs=SIGNATURE.inputs,
        outputs=SIGNATURE.outputs,
    )


def _export_onnx(module: nn.Module, path: Path) -> None:
    example = (torch.zeros(1, 3, SIDE, SIDE),)
    program = torch.onnx.export(
        module, example, dynamo=True, input_names=["image"], output_names=["logits"], verbose=False
    )
    program.save(str(path))


def _export_tflite(module: nn.Module, path: Path) -> None:
    convert = importlib.import_module("litert_torch").convert
    example = {"image": torch.zeros(1, 3, SIDE, SIDE)}
    convert(Named(module).eval(), sample_kwargs=example).export(str(path))


class Named(nn.Module):
    """A module whose only output has a name, as lowering gives it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.module(image)}


@pytest.fixture(scope="session")
def manifest(exported: Path) -> Manifest:
    return read_manifest(exported)


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """One input with normal statistics, NCHW."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="session")
def torch_exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small model as an ExecuTorch and as a torch.export program."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "tests.runtimes.torch_formats", str(folder)]
        subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])

    return made_once(tmp_path_factory, "torch-formats", make)
