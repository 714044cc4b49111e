"""Counting what checkpoints and artifacts make of images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lolvit.cli import main
from tests.conftest import Run

SIZE = "64"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LOLViT-XX after two epochs of digits, at 64 pixels."""
    out = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["train", "--data", "digits", "--model", "lolvit_xx", "--size", SIZE]
    assert main([*arguments, "--epochs", "2", "--out", str(out)]) == 0
    return out / "model.safetensors"


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as ONNX and TFLite in fp32."""
    out = tmp_path_factory.mktemp("exported")
    arguments = ["export", "lolvit_xx", "--weights", str(trained), "--size", SIZE]
    assert main([*arguments, "--to", "onnx,tflite", "--out", str(out)]) == 0
    return out / "lolvit_xx-64x64"


def evaluated(run_lolvit: Run, *arguments: str | Path) -> dict:
    done = run_lolvit("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_fp32_artifacts_count_what_the_checkpoint_counts(
    trained: Path, exported: Path, run_lolvit: Run
) -> None:
    (eager,) = evaluated(run_lolvit, trained)["results"]
    assert eager["metrics"]["images"] == 355
    document = evaluated(run_lolvit, exported, "--data", "digits")
    by_runtime = {entry["runtime"]: entry for entry in document["results"]}
    assert set(by_runtime) == {"eager", "ort", "litert"}
    for entry in by_runtime.values():
        assert entry["agreement"] == 1
        assert entry["metrics"]["top1"] == eager["metrics"]["top1"]
        assert entry["metrics"]["loss"] == pytest.approx(eager["metrics"]["loss"], abs=1e-4)
    assert by_runtime["ort"]["snr_db"] > 100 and by_runtime["litert"]["snr_db"] > 100


@pytest.mark.slow
def test_a_limit_takes_all_classes_evenly(exported: Path, run_lolvit: Run) -> None:
    document = evaluated(
        run_lolvit, exported, "--data", "digits", "--limit", "40", "--runtime", "ort"
    )
    images = [entry["images"] for entry in document["results"][1]["metrics"]["per_class"]]
    assert images == [4] * 10


@pytest.mark.slow
def test_data_of_other_classes_is_one_line(trained: Path, exported: Path, run_lolvit: Run) -> None:
    for target in (trained, exported):
        done = run_lolvit("evaluate", target, "--data", "crops")
        assert done.returncode == 2
        assert "has 10 classes, crops 15" in done.stderr


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_one_line(trained: Path, run_lolvit: Run) -> None:
    done = run_lolvit("evaluate", trained, "--model", "lolvit_x")
    assert done.returncode == 2
    assert "is a checkpoint of lolvit_xx, not of lolvit_x" in done.stderr


@pytest.mark.slow
def test_labels_in_another_order_are_told(exported: Path, run_lolvit: Run, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "export"
    shutil.copytree(exported, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["labels"] = manifest["labels"][::-1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = run_lolvit("evaluate", folder, "--data", "digits")
    assert done.returncode == 2
    assert "its labels are not those of digits: '9' stands where '0' does" in done.stderr
