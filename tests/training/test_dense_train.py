"""Detectors and segmentation models trained on small scenes: resumed, saved, evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.cli import main
from lolvit.errors import UserError
from lolvit.models.loading import load_checkpoint
from lolvit_data import objects
from lolvit_training.recipe import read_recipe

Capture = pytest.CaptureFixture[str]
TASKS = ("detection", "segmentation")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight images to train on and four to test on."""
    monkeypatch.setattr(objects, "COUNTS", {"train": 8, "test": 4})


def trained(task: str, out: Path, *options: str) -> list[str]:
    return [
        "train", "--data", "digit-objects", "--model", "lolvit_xx", "--recipe", task, "--size",
        "64", "--batch-size", "4", "--epochs", "2", "--out", str(out), "--workers", "0", *options,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_run_is_trained_resumed_and_its_checkpoint_evaluated(
    task: str, tmp_path: Path, capfd: Capture
) -> None:
    assert main(trained(task, tmp_path, "--weights", "lolvit_xx.digits", "--json")) == 0
    document = json.loads(capfd.readouterr().out)
    key = {"detection": "ap", "segmentation": "miou"}[task]
    assert [f"test_{key}" in epoch for epoch in document["history"]] == [True, True]
    assert 0 <= document["metrics"][key] <= 1
    assert main(trained(task, tmp_path, "--weights", "lolvit_xx.digits", "--resume", "--json")) == 0
    assert json.loads(capfd.readouterr().out)["metrics"] == document["metrics"]
    loaded = load_checkpoint(None, tmp_path / "model.safetensors")
    assert loaded.task == task and loaded.preprocessing().resize == "stretch"
    assert len(loaded.labels() or ()) == {"detection": 10, "segmentation": 11}[task]
    assert main(["evaluate", str(tmp_path / "model.safetensors"), "--json"]) == 0
    evaluated = json.loads(capfd.readouterr().out)
    assert (evaluated["schema_version"], evaluated["task"]) == (2, task)
    assert evaluated["results"][0]["metrics"][key] == pytest.approx(document["metrics"][key])
    assert main(["evaluate", str(tmp_path / "model.safetensors"), "--per-class"]) == 0
    assert key in capfd.readouterr().out.lower()
    assert main(["save", str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "c")]) == 2
    assert "a card is written for classifiers" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_artifacts_score_as_eager_and_their_predictions_are_saved(
    task: str, tmp_path: Path, capfd: Capture
) -> None:
    classes = {"detection": 10, "segmentation": 11}[task]
    command = ["export", "lolvit_xx", "--task", task, "--num-classes", str(classes), "--size",
               "64", "--to", "onnx", "--out", str(tmp_path)]  # fmt: skip
    assert main(command) == 0
    folder = tmp_path / "lolvit_xx-64x64"
    capfd.readouterr()
    evaluate = ["evaluate", str(folder), "--data", "digit-objects", "--json"]
    assert main([*evaluate, "--save", str(tmp_path / "saved"), "--limit", "3"]) == 0
    (result,) = json.loads(capfd.readouterr().out)["results"]
    assert (result["runtime"], result["metrics"]["images"]) == ("ort", 3)
    place = Path(result["saved"])
    if task == "detection":
        assert all(set(row) == {"image_id", "category_id", "bbox", "score"}
                   for row in json.loads(place.read_text()))  # fmt: skip
    else:
        with Image.open(place / "00000.png") as mask:
            assert mask.size == (objects.WIDTH, objects.HEIGHT) and np.asarray(mask).max() < 11


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmentation.mixup": 0.2}, "mixup or cutmix is for classification"),
        ({"size": 100}, "multiples of 32"),
        ({"quantization_aware.weights": 8}, "quantization_aware is for classification"),
    ],
)
def test_a_recipe_that_does_not_fit_the_task_is_one_line(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_recipe("detection", changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "digits"), "no such data set for detection"),
        (("--weights", "absent.safetensors"), "no such checkpoint"),
    ],
)
def test_what_can_not_be_trained_on_is_one_line(
    options: tuple[str, ...], message: str, tmp_path: Path, capfd: Capture
) -> None:
    assert main(trained("detection", tmp_path, *options)) == 2
    assert message in capfd.readouterr().err


def test_accuracies_are_compared_of_classifiers_alone(tmp_path: Path, capfd: Capture) -> None:
    command = ["accuracy", "lolvit_xx", "--against", "mobilevit_xxs", "--recipe", "detection"]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "is a recipe for detection" in capfd.readouterr().err
