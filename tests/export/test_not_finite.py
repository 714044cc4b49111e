"""Weights that are not finite: one line that names the first layer, in export and in verify."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lolvit.errors import UserError
from lolvit.files import sha256_of
from lolvit.manifest import Manifest, Weights, read_manifest, write_manifest
from lolvit.models import create_model
from tests.conftest import Run
from tests.export.test_verify import copied

__all__ = ["copied"]
LAYER = "stages.1"  # of LOLViT-XX


def a_name(state: dict[str, torch.Tensor], below: str) -> str:
    """Return the first float tensor below a layer."""
    return next(n for n, t in state.items() if n.startswith(below) and t.is_floating_point())


def test_export_names_the_first_tensor_of_a_checkpoint(tmp_path: Path, run_lolvit: Run) -> None:
    state = create_model("lolvit_xx", num_classes=10).state_dict()
    name = a_name(state, LAYER)
    for wrong in (name, "head.weight"):
        state[wrong].view(-1)[0] = math.nan
    torch.save(state, tmp_path / "nan.pth")
    done = run_lolvit(
        "export", "lolvit_xx", "--weights", tmp_path / "nan.pth", "--to", "onnx", "--size", "64",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"lolvit: {tmp_path}/nan.pth: not finite: 1 of the ")
    assert f"of '{name}', the first of its tensors with any" in last
    assert not list((tmp_path / "out").glob("*"))


def test_export_names_the_first_layer_of_a_module_that_overflows(tmp_path: Path) -> None:
    import lolvit

    huge = nn.Conv2d(4, 4, 1)
    nn.init.constant_(huge.weight, 3e38)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), huge, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UserError, match="not finite, from layer '1' on; its weights are finite"):
        lolvit.export(model, size=32, targets="onnx", out=tmp_path)


@pytest.mark.slow
def test_verify_names_the_first_tensor_of_an_export(copied: Path, run_lolvit: Run) -> None:
    manifest: Manifest = read_manifest(copied)
    path = copied / manifest.weights.path
    state = load_file(path)
    state[a_name(dict(create_model("lolvit_xx").state_dict()), LAYER)].view(-1)[3] = math.inf
    from safetensors import safe_open

    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    save_file(state, path, metadata)
    weights = Weights(**{**manifest.weights.model_dump(), "sha256": sha256_of(path)})
    write_manifest(copied, manifest.model_copy(update={"weights": weights}))
    done = run_lolvit("verify", copied / "model-fp32.onnx")
    assert done.returncode == 2
    assert f"{path}: not finite: 1 of the " in done.stderr.splitlines()[-1]
    assert f"'{LAYER}" in done.stderr.splitlines()[-1]
