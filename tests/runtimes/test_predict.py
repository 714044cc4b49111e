"""`lolvit predict` classifies photos from an artifact and its manifest, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lolvit.cli import main
from lolvit.manifest import write_manifest
from lolvit_runtimes.preprocessing import normalize, to_pixels

MEAN_STD = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")


@pytest.fixture
def photo(photos, tmp_path) -> Path:
    path = tmp_path / "coffee [1].png"
    photos["coffee"].save(path)
    return path


@pytest.fixture
def lolvit(capfd):
    """Run a command in this process; give its exit code, JSON document (or None), the rest."""

    def run(*arguments: object):
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ending:
            code = ending.code
        out, err = capfd.readouterr()
        document = json.loads(out) if "--json" in arguments and out else None
        return code, document, err if document else out + err

    return run


def test_scores_are_the_softmax_of_eager_logits(
    lolvit, exported, photo, photos, tiny, preprocessing
):
    code, document, _ = lolvit("predict", exported, photo, "--top", 10, "--json")
    image = torch.from_numpy(normalize(to_pixels(photos["coffee"], preprocessing), preprocessing))
    expected = torch.softmax(tiny(image).double(), 1)[0].detach().numpy()
    top = document["predictions"][0]["top"]
    assert code == 0
    assert [entry["index"] for entry in top] == np.argsort(-expected).tolist()
    for entry in top:
        assert entry["score"] == pytest.approx(expected[entry["index"]], abs=1e-5)
        assert entry["label"] == f"class {entry['index']}"
    assert document["predictions"][0]["image"] == str(photo)


@pytest.mark.parametrize("runtime", ["ort", "litert"])
def test_the_runtime_is_the_one_asked_for(lolvit, exported, photo, runtime):
    code, document, _ = lolvit("predict", exported, photo, "--runtime", runtime, "--json")
    assert code == 0
    assert document["runtime"] == runtime
    assert len(document["predictions"][0]["top"]) == 5


def test_the_first_runtime_that_is_ready_is_taken_and_named(lolvit, exported, photo, monkeypatch):
    from lolvit_runtimes import predict
    from lolvit_runtimes.probe import runtime_status

    ready = [status for status in runtime_status() if status.id != "ort"]
    monkeypatch.setattr(predict, "runtime_status", lambda: ready)
    code, _, err = lolvit("predict", exported, photo)
    assert code == 0
    assert "model-fp32.tflite in litert" in err


def test_an_artifact_of_a_folder_is_used_with_its_manifest(lolvit, exported, photo):
    path = exported / "model-fp32.tflite"
    code, document, _ = lolvit("predict", path, photo, "--json")
    assert code == 0
    assert (document["artifact"], document["runtime"]) == (str(path), "litert")
    assert document["model"] == "tiny"


def test_untrained_weights_are_reported_in_both_forms(lolvit, exported, photo):
    _, document, _ = lolvit("predict", exported, photo, "--json")
    assert document["trained"] is False
    assert "the predictions are meaningless" in document["note"]
    _, _, err = lolvit("predict", exported, photo)
    assert "weights are untrained: the predictions are meaningless" in err


def test_trained_weights_carry_no_warning(lolvit, exported, photo, manifest, tmp_path):
    folder = tmp_path / "trained"
    shutil.copytree(exported, folder)
    weights = manifest.weights.model_copy(update={"trained": True})
    write_manifest(folder, manifest.model_copy(update={"weights": weights, "labels": None}))
    code, document, _ = lolvit("predict", folder, photo, "--json")
    assert code == 0
    assert (document["trained"], document["note"]) == (True, None)
    assert document["predictions"][0]["top"][0]["label"] is None


def test_a_bad_photo_is_one_line_and_the_others_are_classified(lolvit, exported, photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a photo")
    code, document, err = lolvit("predict", exported, bad, photo, tmp_path / "absent.jpg", "--json")
    assert code == 2
    assert [entry["image"] for entry in document["predictions"]] == [str(photo)]
    assert [entry["image"] for entry in document["errors"]] == [
        str(bad),
        str(tmp_path / "absent.jpg"),
    ]
    assert len(err.splitlines()) == 2
    assert str(bad) in err.splitlines()[0]


def test_the_photos_of_a_folder_are_classified_and_what_is_left_out_is_counted(
    lolvit, exported, photo, photos, tmp_path
):
    folder = tmp_path / "holiday"
    (folder / "day 2" / ".ipynb_checkpoints").mkdir(parents=True)
    photos["coffee"].save(folder / "a.JPG", "JPEG")
    photos["rocket"].save(folder / "day 2" / "b.png")
    photos["rocket"].save(folder / "day 2" / ".ipynb_checkpoints" / "b.png")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "notes.txt").write_text("day 1")
    code, document, err = lolvit("predict", exported, photo, folder, "--json")
    assert code == 0
    assert [entry["image"] for entry in document["predictions"]] == [
        str(photo),
        str(folder / "a.JPG"),
        str(folder / "day 2" / "b.png"),
    ]
    assert err.splitlines() == [
        f"{folder}: 3 files left out: 2 hidden or of the operating system (Thumbs.db, b.png), "
        "1 not a photo (notes.txt)"
    ]


def test_a_folder_without_photos_is_one_line_and_the_others_are_classified(
    lolvit, exported, photo, tmp_path
):
    (tmp_path / "empty").mkdir()
    code, document, err = lolvit("predict", exported, tmp_path / "empty", photo, "--json")
    assert code == 2
    assert [entry["image"] for entry in document["predictions"]] == [str(photo)]
    assert err.splitlines() == [f"lolvit: {tmp_path / 'empty'}: has no photos"]


def test_a_table_shows_names_as_they_are(lolvit, exported, photo):
    code, document, err = lolvit("predict", exported, photo, "--top", 1)
    assert (code, document) == (0, None)
    assert "coffee [1].png" in err


WRONG = {
    "runtime": (["--runtime", "litrt"], "did you mean 'litert'"),
    "runtime of another format": (["--runtime", "coreml-reference"], "does not open onnx, tflite"),
    "precision": (["--precision", "fp16"], "has no fp16 artifact"),
    "preprocessing": (["--crop-pct", "0.5"], "has a manifest, which defines the preprocessing"),
    "top": (["--top", "0"], "--top"),
    "mean": (["--mean", "1,2"], "one number per channel"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_option_is_one_line_with_exit_code_2(lolvit, exported, photo, options, message):
    code, _, err = lolvit("predict", exported, photo, *options)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_artifact_that_was_changed_is_never_opened(lolvit, exported, photo, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(exported, folder)
    for name in ("model-fp32.onnx", "model-fp32.tflite"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        code, _, err = lolvit("predict", folder / name, photo)
        assert code == 2
        assert "does not match the sha256 in its manifest" in err
        (folder / name).write_bytes(content[:-1])
        assert "bytes, its manifest has" in lolvit("predict", folder / name, photo)[2]


@pytest.fixture
def bare(exported, tmp_path):
    def copy(format: str) -> Path:
        return Path(shutil.copy(exported / f"model-fp32.{format}", tmp_path / f"m.{format}"))

    return copy


def test_a_bare_file_needs_its_preprocessing_stated(lolvit, bare, photo):
    code, _, err = lolvit("predict", bare("onnx"), photo)
    assert code == 2
    assert "give --mean and --std" in err


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_bare_file_is_classified_as_its_manifest_would(lolvit, bare, exported, photo, format):
    path = bare(format)
    code, document, _ = lolvit("predict", path, photo, *MEAN_STD, "--crop-pct", 0.9, "--json")
    _, expected, _ = lolvit("predict", exported / f"model-fp32.{format}", photo, "--json")
    assert code == 0
    found = [(entry["index"], entry["score"]) for entry in document["predictions"][0]["top"]]
    assert found == [(e["index"], e["score"]) for e in expected["predictions"][0]["top"]]
    assert document["trained"] is None
    assert "unknown" in document["note"]


@pytest.fixture(scope="session")
def free_batch(tiny, tmp_path_factory) -> Path:
    """An ONNX file of the small model whose batch is free."""
    path = tmp_path_factory.mktemp("free") / "m.onnx"
    program = torch.onnx.export(
        tiny, (torch.zeros(2, 3, 32, 32),), dynamo=True, verbose=False, input_names=["image"],
        output_names=["logits"], dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
    )  # fmt: skip
    program.save(str(path))
    return path


@pytest.mark.parametrize("batch", [[], ["--batch", "1"], ["--batch", "2"]], ids=str)
def test_a_bare_file_with_a_free_batch_gives_the_scores_of_a_fixed_one(
    lolvit, free_batch, exported, photo, photos, tmp_path, batch
):
    other = tmp_path / "rocket.png"
    photos["rocket"].save(other)
    options = [*MEAN_STD, "--crop-pct", 0.9, "--json"]
    code, document, _ = lolvit("predict", free_batch, photo, other, photo, *options, *batch)
    expected = lolvit("predict", exported / "model-fp32.onnx", photo, other, photo, "--json")[1][
        "predictions"
    ]
    assert code == 0 and len(document["predictions"]) == 3
    for found, wanted in zip(document["predictions"], expected, strict=True):
        assert [e["index"] for e in found["top"]] == [e["index"] for e in wanted["top"]]
        scores = [[entry["score"] for entry in each["top"]] for each in (found, wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_a_fixed_batch_is_not_changed_by_an_option(lolvit, bare, photo):
    code, _, err = lolvit("predict", bare("onnx"), photo, *MEAN_STD, "--batch", 3)
    assert code == 2
    assert "has a fixed batch of 1; leave out --batch" in err


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_truncated_bare_file_is_one_line_with_exit_code_2(lolvit, bare, photo, format):
    path = bare(format)
    path.write_bytes(path.read_bytes()[:5000])
    code, _, err = lolvit("predict", path, photo, *MEAN_STD)
    assert code == 2
    assert f"not a valid {'ONNX' if format == 'onnx' else 'TFLite'} file" in err
    assert len(err.splitlines()) == 1


def test_logits_that_are_not_finite_are_a_device_error(lolvit, exported, photo, monkeypatch):
    from lolvit_runtimes.ort import OrtSession

    broken = {"logits": np.full((1, 10), np.nan, np.float32)}
    monkeypatch.setattr(OrtSession, "run", lambda self, inputs: broken)
    code, _, err = lolvit("predict", exported, photo, "--runtime", "ort")
    assert code == 3
    assert "not finite" in err


def test_no_runtime_names_the_extras_that_add_one(lolvit, exported, photo, monkeypatch):
    monkeypatch.setattr("lolvit_runtimes.predict.runtime_status", list)
    code, _, err = lolvit("predict", exported, photo)
    assert code == 2
    assert "pip install 'lolvit[ort]'" in err
    assert "pip install 'lolvit[litert]'" in err


PREDICT_AND_LIST_MODULES = """
import sys
from lolvit.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "tensorflow", "coremltools", "onnx", "skimage", "timm"} & set(sys.modules)
print(code, sorted(heavy))
"""


@pytest.mark.parametrize("runtime", ["ort", "litert"])
def test_no_torch_is_loaded(exported, photo, runtime):
    command = [sys.executable, "-c", PREDICT_AND_LIST_MODULES, "predict", exported, photo]
    done = subprocess.run(
        [*map(str, command), "--runtime", runtime], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
