"""The figures of verification, and the command that verifies again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lolvit.cli import main
from lolvit.manifest import Manifest, Preprocessing
from lolvit.tasks import Agreement, find_task
from lolvit.verification import VerificationDocument
from lolvit_export.targets import all_targets
from lolvit_export.verification.comparison import (
    max_abs_error,
    pooled_snr_db,
    worst_class_snr_db,
    worst_found_class_snr_db,
    worst_snr_db,
)
from lolvit_export.verification.manifest_check import differences
from lolvit_runtimes import vulkan
from lolvit_runtimes.snr import snr_db

LOGITS = arrays.arrays(
    np.float64, (1, 10), elements=st.floats(-1e3, 1e3, allow_nan=False, width=32)
)


def test_snr_of_a_tenth_of_the_signal_is_20_db() -> None:
    signal = np.ones((1, 100))
    assert snr_db(signal, signal * 1.1) == pytest.approx(20)


@given(LOGITS, st.floats(1e-3, 1e3))
def test_snr_does_not_depend_on_scale(logits: np.ndarray, scale: float) -> None:
    noisy = logits + np.linspace(1e-3, 1e-2, 10)
    if not logits.any():
        return
    assert snr_db(logits * scale, noisy * scale) == pytest.approx(snr_db(logits, noisy), abs=1e-6)


@given(LOGITS)
def test_equal_logits_agree_wholly(logits: np.ndarray) -> None:
    assert snr_db(logits, logits.copy()) == 300
    pair = [{"logits": logits}], [{"logits": logits.copy()}]
    assert find_task("classification").compare(*pair, "fp32") == Agreement(1.0, images=1)
    assert max_abs_error(*pair) == 0


def test_scores_are_compared_with_their_full_scale() -> None:
    quiet = [{"boxes": np.ones((1, 4, 9)), "scores": np.full((1, 3, 9), 1e-5)}]
    noisy = [{"boxes": np.ones((1, 4, 9)), "scores": np.full((1, 3, 9), 1.1e-5)}]
    assert worst_snr_db(quiet, noisy)["scores"] == pytest.approx(20)
    for compare in (worst_snr_db, pooled_snr_db):
        assert compare(quiet, noisy, ("scores",))["scores"] == pytest.approx(120)
    wrong = [{**quiet[0], "scores": quiet[0]["scores"] + 0.1}]
    assert worst_snr_db(quiet, wrong, ("scores",))["scores"] == pytest.approx(20)
    broken = [{**quiet[0], "scores": np.full((1, 3, 9), np.nan)}]
    assert worst_snr_db(quiet, broken, ("scores",))["scores"] == -300


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_output_that_is_not_finite_fails_every_threshold(broken: float) -> None:
    output = np.ones((1, 10))
    output[0, 3] = broken
    thresholds = [spec.snr_db for each in all_targets() for spec in each.precisions.values()]
    assert snr_db(np.ones((1, 10)), output) < min(thresholds)
    assert np.isfinite(max_abs_error([{"a": np.ones((1, 10))}], [{"a": output}]))


@pytest.fixture
def copied(exported: tuple[Path, Manifest], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported[0], tmp_path / "copy"))


def test_verify_repeats_the_gates_of_the_export(
    copied: Path, exported: tuple[Path, Manifest], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(copied / "model-fp32.onnx"), "--json"]) == 0
    (again,) = json.loads(capfd.readouterr().out)["artifacts"]
    first = exported[1].find("onnx", "fp32")
    assert first is not None
    for then, now in zip(first.gates, again["gates"], strict=True):
        assert now["value"] == pytest.approx(then.value, abs=1e-6)


@pytest.mark.parametrize("name", ["model-fp32.onnx", "model-fp32.tflite", "weights.safetensors"])
def test_changed_file_is_rejected_before_it_is_opened(
    copied: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((copied / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (copied / name).write_bytes(data)
    assert main(["verify", str(copied)]) == 2
    message = capfd.readouterr().err.strip().splitlines()[-1]
    assert name in message and "sha256" in message


def test_truncated_file_is_rejected(copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = copied / "model-fp32.tflite"
    path.write_bytes(path.read_bytes()[:1000])
    assert main(["verify", str(path)]) == 2
    assert "has 1000 bytes" in capfd.readouterr().err


def test_file_without_a_manifest_cannot_be_verified(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (copied / "manifest.json").unlink()
    assert main(["verify", str(copied / "model-fp32.onnx")]) == 2
    assert "no manifest.json beside it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", [0.0, 0.0, 0.0], "preprocessing.mean is 0,0,0, the model's is 0.5,0.5,0.5"),
        ("interpolation", "bilinear", "preprocessing.interpolation is bilinear"),
        ("crop_pct", 0.8, "preprocessing.crop_pct is 0.8"),
    ],
)
def test_manifest_with_other_preprocessing_than_the_model_is_refused(
    copied: Path, field: str, value: object, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["preprocessing"][field] = value
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert main(["verify", str(copied / "model-fp32.onnx")]) == 1
    assert message in capfd.readouterr().err


def test_shifted_labels_are_found_by_the_first_that_differs() -> None:
    preprocessing = Preprocessing(size=(64, 64), crop_pct=1, mean=(0.5,) * 3, std=(0.5,) * 3)
    config = {"preprocessing": preprocessing.model_dump(), "labels": ["a", "b", "c"]}
    assert differences(preprocessing, ("a", "b", "c"), config) == []
    assert differences(preprocessing, ("b", "c", "a"), config) == [
        "label 0 is 'b', the model's is 'a'"
    ]


def test_weights_that_are_not_those_of_the_artifact_fail_the_gate(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from lolvit.files import sha256_of
    from lolvit.models.checkpoint import read_state, save_checkpoint
    from lolvit.models.loading import rebuild_model

    weights = copied / "weights.safetensors"
    state, config = read_state(weights)
    state["head.bias"] += 1
    save_checkpoint(rebuild_model("lolvit_xx", 1000, state, "here"), weights, config)
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["weights"]["sha256"] = sha256_of(weights)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert main(["verify", str(copied / "model-fp32.onnx")]) == 1
    assert "ort.snr_db" in capfd.readouterr().err


@pytest.mark.skipif(not vulkan.ready(), reason=f"no Vulkan driver: {vulkan.REMEDY}")
def test_on_a_gpu_every_operation_runs_there_and_the_numbers_are_eagers(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(copied), "--device", "litert-gpu", "--json"]) == 0
    document = VerificationDocument.model_validate_json(capfd.readouterr().out)
    assert document.device == "litert-gpu"
    assert {artifact.format for artifact in document.artifacts} == {"tflite"}
    gates = {gate.name: gate.value for a in document.artifacts for gate in a.gates}
    assert gates["litert-gpu.snr_db"] >= 45
    assert gates["litert-gpu.on_gpu"] == 1


def test_an_export_that_a_device_does_not_run_is_reported_with_the_remedy(
    copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(copied / "model-fp32.onnx"), "--device", "litert-gpu"]) == 2
    assert "export with --to tflite" in capfd.readouterr().err


def test_near_ties_of_eager_are_left_out_and_counted() -> None:
    task = find_task("classification")
    clear = [{"logits": np.array([[5.0, 0.0, 0.0]])}] * 9
    tie = [{"logits": np.array([[1.0, 1.01, 0.0]])}] * 3
    turned = [{"logits": np.array([[1.01, 1.0, 0.0]])}] * 3
    assert task.compare(clear + tie, clear + turned, "int8") == Agreement(1.0, 3, images=9)
    assert task.compare(clear + tie, clear + turned, "fp32") == Agreement(0.75, images=12)
    assert task.compare(tie, turned, "int8") == Agreement(0.0, images=3)  # too few without them


def test_a_dead_class_has_0_db_and_one_without_signal_does_not_count() -> None:
    rng = np.random.default_rng(0)
    logits = [{"logits": rng.normal(size=(1, 1000)) * np.r_[1e-6, np.ones(999)]} for _ in range(8)]
    near = [{"logits": each["logits"] + 1e-3} for each in logits]
    assert (worst_class_snr_db(logits, near) or 0) > 45
    dead = [{"logits": each["logits"] * np.r_[np.ones(999), 0]} for each in logits]
    assert worst_class_snr_db(logits, dead) == pytest.approx(0, abs=0.01)
    assert pooled_snr_db(logits, dead)["logits"] > 25


def test_a_dead_class_of_a_detector_has_no_signal_where_nothing_is_found() -> None:
    """Scores of background: each class has its own, all are near 0."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-6, 1, (4, 1, 5, 300)) + rng.normal(0, 1, (1, 1, 5, 1))
    scores = [{"boxes": np.ones((1, 4, 300)), "scores": 1 / (1 + np.exp(-each))} for each in odds]
    half = [{**each, "scores": each["scores"].astype(np.float16)} for each in scores]
    assert (worst_class_snr_db(scores, half, ["scores"]) or 0) > 40
    dead = [{**each, "scores": each["scores"] * np.r_[1, 1, 0, 1, 1][:, None]} for each in scores]
    shifted = [{**each, "scores": np.roll(each["scores"], 1, 1)} for each in scores]
    for broken in (dead, shifted):
        assert (worst_class_snr_db(scores, broken, ["scores"]) or 0) < 0
    assert pooled_snr_db(scores, dead, ["scores"])["scores"] > 45  # relative to full scale


def test_a_rare_class_that_is_no_longer_found_has_no_signal_among_those_that_are() -> None:
    """One object in 1,200 points is of the rare class; what is lost of it is a trifle of all."""
    rng = np.random.default_rng(0)
    background = rng.uniform(0, 0.01, (4, 1, 3, 300))
    scores, good, lost = ([{"scores": each.copy()} for each in background] for _ in range(3))
    for photo in range(4):
        for outputs, rare in ((scores, 0.6), (good, 0.63), (lost, 0.2)):
            outputs[photo]["scores"][0, 0, :20] = 0.8
            outputs[photo]["scores"][0, 1, 0] = rare
    assert worst_found_class_snr_db(scores, good, "scores") == pytest.approx(26.0, abs=0.1)
    assert worst_found_class_snr_db(scores, lost, "scores") == pytest.approx(3.5, abs=0.1)
    assert pooled_snr_db(scores, lost, ["scores"])["scores"] > 35
    assert (worst_class_snr_db(scores, lost, ["scores"]) or 0) > 10


def test_classes_are_not_compared_where_nothing_is_found() -> None:
    nothing = [{"scores": np.full((1, 3, 300), 0.01)}]
    assert worst_found_class_snr_db(nothing, nothing, "scores") is None
    invented = [{"scores": np.full((1, 3, 300), 0.5)}]
    assert (worst_found_class_snr_db(nothing, invented, "scores") or 0) < 0
    broken = [{"scores": np.full((1, 3, 300), np.nan)}]
    assert worst_found_class_snr_db(invented, broken, "scores") == -300


def test_a_dead_class_of_a_map_has_no_signal() -> None:
    rng = np.random.default_rng(0)
    logits = [{"logits": rng.normal(size=(1, 4, 6, 8)) + 3} for _ in range(4)]
    dead = [{"logits": each["logits"] * np.r_[1, 1, 0, 1][:, None, None]} for each in logits]
    assert (worst_class_snr_db(logits, dead) or 0) < 0
