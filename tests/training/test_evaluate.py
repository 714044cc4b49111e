"""Counting what checkpoints and artifacts make of images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from lolvit.cli import main
from lolvit.models import create_model
from lolvit.weights import find_weights

TRAINED = "lolvit_xx.digits"  # at 256 pixels
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's checkpoint as ONNX and TFLite in fp32, at 128 pixels."""
    out = tmp_path_factory.mktemp("exported")
    arguments = ["export", "lolvit_xx", "--weights", TRAINED, "--size", "128"]
    assert main([*arguments, "--to", "onnx,tflite", "--out", str(out)]) == 0
    return out / "lolvit_xx-128x128"


def told(capfd: Capture, *arguments: str | Path) -> str:
    """Return the one line of an evaluation that is refused."""
    capfd.readouterr()
    assert main(["evaluate", *map(str, arguments)]) == 2
    return capfd.readouterr().err


def evaluated(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    capfd.readouterr()
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_the_checkpoint_of_the_package_finds_the_digits(capfd: pytest.CaptureFixture[str]) -> None:
    (eager,) = evaluated(capfd, TRAINED)["results"]
    assert eager["metrics"]["images"] == 355
    assert eager["metrics"]["top1"] > 0.98
    assert len(find_weights(TRAINED).read_bytes()) < 3_000_000


@pytest.mark.parametrize(("task", "metric", "least"), [("detection", "ap50", 0.86)])
def test_checkpoints_of_the_package_find_digits_in_photos(
    task: str, metric: str, least: float, capfd: Capture
) -> None:
    name = f"{TRAINED}-{task}"
    assert main(["evaluate", name, "--limit", "40", "--json"]) == 0
    (eager,) = json.loads(capfd.readouterr().out)["results"]
    assert eager["metrics"]["images"] == 40
    assert eager["metrics"][metric] > least
    assert find_weights(name).stat().st_size < 3_000_000


@pytest.mark.slow
def test_fp32_artifacts_have_the_accuracy_of_eager(
    exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = evaluated(capfd, exported)
    assert document["data"] == "digits" and document["trained"]
    by_runtime = {entry["runtime"]: entry for entry in document["results"]}
    assert set(by_runtime) == {"eager", "ort", "litert"}
    eager = by_runtime["eager"]["metrics"]
    for entry in by_runtime.values():
        assert entry["agreement"] == 1
        assert entry["metrics"]["top1"] == eager["top1"]
        assert entry["metrics"]["loss"] == pytest.approx(eager["loss"], abs=1e-4)
    assert by_runtime["ort"]["snr_db"] > 100 and by_runtime["litert"]["snr_db"] > 100


@pytest.mark.slow
def test_a_limit_takes_all_classes_evenly(
    exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = evaluated(capfd, exported, "--limit", "40", "--runtime", "ort")
    images = [entry["images"] for entry in document["results"][1]["metrics"]["per_class"]]
    assert images == [4] * 10


def test_a_limit_takes_all_classes_of_a_checkpoint_evenly(capfd: Capture) -> None:
    assert main(["evaluate", TRAINED, "--limit", "20", "--json"]) == 0
    (eager,) = json.loads(capfd.readouterr().out)["results"]
    assert [entry["images"] for entry in eager["metrics"]["per_class"]] == [2] * 10


@pytest.mark.parametrize(
    ("option", "message"),
    [("--errors", "is for detection"), ("--save", "is for detection and segmentation")],
)
def test_what_a_classifier_has_not_is_one_line(
    option: str, message: str, tmp_path: Path, capfd: Capture
) -> None:
    value = [tmp_path] if option == "--save" else []
    assert f"{option} {message}" in told(capfd, TRAINED, option, *value)


@pytest.mark.slow
def test_data_of_other_classes_is_one_line(exported: Path, capfd: Capture) -> None:
    for target in (TRAINED, exported):
        assert "has 10 classes, crops 15" in told(capfd, target, "--data", "crops")


def test_a_checkpoint_of_another_model_is_one_line(capfd: Capture) -> None:
    line = told(capfd, TRAINED, "--model", "lolvit_x")
    assert "is a checkpoint of lolvit_xx, not of lolvit_x" in line


@pytest.mark.slow
def test_labels_in_another_order_are_an_error(
    exported: Path, capfd: Capture, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exported, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["labels"] = manifest["labels"][::-1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    line = told(capfd, folder)
    assert "its labels differ from those of digits: '9' in place of '0'" in line


def test_a_checkpoint_with_nan_is_refused_and_its_tensor_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = create_model("lolvit_xx", num_classes=10)
    model.get_submodule("head").weight.data[0, 0] = float("nan")
    torch.save(model.state_dict(), tmp_path / "nan.pth")
    options = ["--model", "lolvit_xx", "--data", "digits", "--json"]
    assert main(["evaluate", str(tmp_path / "nan.pth"), *options]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert "1 of the 2560 values of 'head.weight'" in error["what"]
