"""An export is whole and verified, or it is not there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.manifest import (
    Artifact,
    Manifest,
    Quantization,
    TensorSpec,
    check_artifact,
    read_manifest,
)
from lolvit.models import create_model
from lolvit.models.checkpoint import read_state, save_checkpoint
from lolvit.models.loading import rebuild_model
from lolvit.weights import find_weights
from lolvit_export import pipeline
from lolvit_export.pipeline import export_model
from lolvit_export.targets import find_target
from lolvit_export.verification.comparison import gate
from lolvit_export.verification.reference import ReferenceData
from lolvit_export.verification.verifiers import Verifiers
from tests.export.requests import export, request
from tests.lived_in import lived_in

Exported = tuple[Path, Manifest]
ANY = "timm/test_resnet"  # where the network makes no difference: it is exported fast


def demand(monkeypatch: pytest.MonkeyPatch, snr_db: float, precision: str = "fp32") -> None:
    """Raise a threshold of ONNX artifacts beyond what eager's own noise allows."""
    target = find_target("onnx")
    changed = replace(target.precisions[precision], snr_db=snr_db)
    monkeypatch.setitem(target.precisions, precision, changed)  # type: ignore[arg-type]
    monkeypatch.setattr(ReferenceData, "noise_db", lambda self, precision, output: 300.0)


@pytest.fixture(scope="module")
def onnx_export(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One export of ANY, for tests that need one to have been made before: copy it."""
    return export(request(tmp_path_factory.mktemp("onnx"), model=ANY))


@pytest.fixture
def previous(onnx_export: Exported, tmp_path: Path) -> Exported:
    """That export in `tmp_path`, as an earlier run left it."""
    folder, manifest = onnx_export
    return Path(shutil.copytree(folder, tmp_path / folder.name)), manifest


def test_every_artifact_passes_its_gates(exported: Exported) -> None:
    _, manifest = exported
    assert len(manifest.artifacts) == 6
    for artifact in manifest.artifacts:
        assert artifact.gates
        assert all(gate.passed for gate in artifact.gates), artifact


def test_tflite_is_verified_in_a_second_runtime(exported: Exported) -> None:
    artifact = exported[1].find("tflite", "fp32")
    assert artifact is not None
    assert {gate.name for gate in artifact.gates} >= {"litert.snr_db", "litert-reference.snr_db"}


def test_files_match_their_manifest(exported: Exported) -> None:
    folder, manifest = exported
    for artifact in manifest.artifacts:
        check_artifact(folder, artifact)


def test_nothing_else_is_in_the_folder(exported: Exported) -> None:
    folder, manifest = exported
    known = {a.path for a in manifest.artifacts} | {"manifest.json", "weights.safetensors"}
    assert {path.name for path in folder.iterdir()} == known


def test_half_precision_halves_the_size(exported: Exported) -> None:
    for format in ("onnx", "tflite", "coreml"):
        single, half = (exported[1].find(format, p) for p in ("fp32", "fp16"))
        assert single is not None and half is not None
        assert half.bytes < 0.6 * single.bytes


def test_onnx_takes_an_image_of_fixed_shape(exported: Exported) -> None:
    model = onnx.load(exported[0] / "model-fp32.onnx")
    (image,) = model.graph.input
    assert image.name == "image"
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 3, 64, 96]
    assert model.opset_import[0].version >= 18


def test_rewrites_report_where_they_applied(exported: Exported) -> None:
    fired = {record.name: record.applied for record in exported[1].rewrites}
    assert (
        fired["split_qkv_projection"] == fired["transpose_relu_attention"] == 4
    )  # an attention block each
    assert fired["strided_slice_to_reshape"] == 0


def test_untrained_weights_are_reported(exported: Exported) -> None:
    assert not exported[1].weights.trained


def test_checkpoint_is_exported_with_its_classes_and_labels(tmp_path: Path) -> None:
    model = lived_in(create_model("lolvit_xx", num_classes=3))
    weights = tmp_path / "trained.safetensors"
    save_checkpoint(model, weights, {"model": "lolvit_xx", "labels": ["a", "b", "c"]})
    _, manifest = export(request(tmp_path / "out", weights=weights))
    assert manifest.weights.trained
    assert (manifest.signature.outputs[0].shape[1], manifest.labels) == (3, ("a", "b", "c"))


def test_a_checkpoint_is_exported_at_the_size_that_it_was_trained_for(tmp_path: Path) -> None:
    weights = tmp_path / "trained.safetensors"
    preprocessing = {"size": [96, 64], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
    model = lived_in(create_model("lolvit_xx", num_classes=3))
    save_checkpoint(model, weights, {"model": "lolvit_xx", "preprocess": preprocessing})
    folder, manifest = export(request(tmp_path / "out", weights=weights, size=None))
    assert folder.name == "lolvit_xx-96x64" and manifest.preprocessing.crop_pct == 1.0


def test_a_checkpoint_with_a_wrong_preprocessing_is_one_line(tmp_path: Path) -> None:
    weights = tmp_path / "trained.safetensors"
    config = {"model": "lolvit_xx", "preprocess": {"size": "large"}}
    save_checkpoint(create_model("lolvit_xx", num_classes=3), weights, config)
    with pytest.raises(UserError, match=r"field 'preprocessing\.size' of its configuration"):
        export(request(tmp_path / "out", weights=weights))


def test_checkpoint_of_another_model_is_rejected(tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    save_checkpoint(create_model("lolvit_x", num_classes=3), weights, {"model": "lolvit_x"})
    with pytest.raises(UserError, match="checkpoint of lolvit_x"):
        export(request(tmp_path / "out", weights=weights))
    assert not list((tmp_path / "out").iterdir())


def test_labels_must_be_as_many_as_classes(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    with pytest.raises(UserError, match="has 2 labels, the model 5 classes"):
        export(request(tmp_path / "out", num_classes=5, labels=labels))


def test_naive_export_is_verified_too(tmp_path: Path) -> None:
    _, manifest = export(request(tmp_path, rewrites=False))
    assert manifest.rewrites == ()
    assert not manifest.rewritten
    assert not manifest.failed_gates()


def test_failed_gate_leaves_the_previous_export(
    previous: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = previous
    demand(monkeypatch, 299.0)
    with pytest.raises(GateFailedError, match=r"ort\.snr_db .* < 290"):
        export(request(tmp_path, model=ANY))
    assert read_manifest(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_failed_gate_leaves_nothing_where_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand(monkeypatch, 299.0)
    with pytest.raises(GateFailedError):
        export(request(tmp_path, model=ANY))
    assert not list(tmp_path.iterdir())


def test_an_artifact_that_a_runtime_refuses_is_not_left_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Verifiers.verify

    def refused(self: Verifiers, path: Path, artifact: Artifact, *given: Any) -> Artifact:
        if artifact.format == "tflite":
            raise DeviceError("it cannot be opened")
        return verify(self, path, artifact, *given)

    monkeypatch.setattr(Verifiers, "verify", refused)
    wanted = request(tmp_path, model=ANY, targets=("onnx", "tflite"))
    result = export_model(wanted, lambda step: None)
    assert result.failures["tflite"].what == "tflite: it cannot be opened"
    assert [artifact.path for artifact in result.manifest.artifacts] == ["model-fp32.onnx"]
    assert [path.name for path in result.folder.glob("model-*")] == ["model-fp32.onnx"]


def test_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "write_manifest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(request(tmp_path, model=ANY))
    assert not list(tmp_path.iterdir())


def test_folder_that_is_no_export_is_not_modified(tmp_path: Path) -> None:
    mine = tmp_path / "lolvit_xx-64x64" / "thesis.tex"
    mine.parent.mkdir()
    mine.write_text("years of work")
    with pytest.raises(UserError, match="exists and is not an export folder"):
        export(request(tmp_path))
    assert mine.read_text() == "years of work"


def test_size_that_the_model_cannot_take_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export(request(tmp_path, model="timm/levit_128s", size=(100, 100)))
    assert "\n" not in caught.value.line()


@pytest.mark.slow
def test_killed_export_leaves_the_previous_one_and_the_next_cleans_up(
    previous: Exported, tmp_path: Path
) -> None:
    folder, before = previous
    command = [sys.executable, "-m", "lolvit", "export", ANY, "--to", "onnx"]
    with subprocess.Popen(
        [*command, "--size", "64", "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "lower to onnx" in line:
                break
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    assert read_manifest(folder) == before
    assert any(path.name.startswith(".") for path in tmp_path.iterdir()), "killed too late"
    export(request(tmp_path, model=ANY))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.slow
def test_model_with_a_deviation_for_each_channel_keeps_it_in_core_ml(tmp_path: Path) -> None:
    asked = request(
        tmp_path, model="timm/mobilenetv4_conv_small", targets=("coreml",), precisions=("fp32",)
    )
    _, manifest = export(asked)
    assert len(set(manifest.preprocessing.std)) == 3
    assert not manifest.failed_gates()


@pytest.mark.slow
def test_mobilevit_goes_through_the_same_pipeline(tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        model="mobilevit_xxs",
        targets=("onnx", "tflite", "coreml"),
        precisions=("fp32", "fp16"),
        size=(128, 128),
    )
    _, manifest = export(asked)
    assert not manifest.failed_gates()
    assert {r.name for r in manifest.rewrites if r.applied} >= {
        "fold_batch_norm",
        "split_qkv_projection",
    }


def test_export_command_prints_one_document_and_fills_an_app(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from lolvit.cli import main

    app = tmp_path / "assets"
    arguments = ["export", "lolvit_xx", "--to", "onnx", "--size", "64", "--out", str(tmp_path)]
    assert main([*arguments, "--android", str(app), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    (artifact,) = document["artifacts"]
    assert set(artifact) >= {"path", "format", "precision", "sha256", "bytes", "gates"}
    assert set(artifact["gates"][0]) == {"name", "value", "threshold", "passed"}
    assert set(document["rewrites"][0]) >= {"name", "applied", "match_failures"}
    in_app = app / document["android"]["asset"]
    assert read_manifest(in_app) == read_manifest(Path(document["folder"]))
    check_artifact(in_app, read_manifest(in_app).artifacts[0])


@pytest.mark.parametrize(
    ("formats", "directory", "words"),
    [
        ("onnx", "nowhere", "no such folder; give an app's module"),
        ("coreml", "assets", "--android needs --to tflite or onnx"),
    ],
)
def test_app_that_cannot_be_filled_is_rejected_before_any_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], formats: str, directory: str, words: str
) -> None:
    from lolvit.cli import main

    arguments = ["export", "lolvit_xx", "--to", formats, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--android", str(tmp_path / directory)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line


def test_overflow_in_half_precision_fails_a_gate_and_the_artifact_can_be_kept(
    tmp_path: Path,
) -> None:
    """ONNX Runtime computes fp16 in float32 on a CPU, where nothing overflows."""
    state, config = read_state(find_weights("lolvit_xx.digits"))
    state["head.weight"] *= 1e5  # each is finite in half precision, their sums are not
    model = rebuild_model("lolvit_xx", 10, state, "here")
    weights = tmp_path / "large.safetensors"
    save_checkpoint(model, weights, config)
    exported = export_model(
        request(tmp_path, weights=weights, precisions=("fp32", "fp16"), keep_failed=True),
        lambda _step: None,
    )
    (failed,) = exported.withheld
    assert [g.name for g in failed.gates if not g.passed] == ["eager.fp16_headroom"]
    assert (exported.folder / "FAILED-model-fp16.onnx").is_file()
    assert [a.path for a in read_manifest(exported.folder).artifacts] == ["model-fp32.onnx"]
    with pytest.raises(GateFailedError, match=r"kept to look into: FAILED-model-fp16\.onnx"):
        exported.raise_on_failure()


@pytest.mark.parametrize(("passing", "plan_stays"), [("none", False), ("model-int8.bin", True)])
def test_artifacts_of_one_plan_are_withheld_and_the_plan_stays_for_those_that_are_kept(
    tmp_path: Path, passing: str, plan_stays: bool
) -> None:
    plan = tmp_path / "model-int8-htp.onnx.plan.json"
    artifacts = []
    for name in ("model-int8-htp.onnx", "model-int8.bin"):  # the second is compiled from the first
        artifacts.append(
            Artifact(
                path=name,
                format="qnn",
                precision="int8",
                sha256="0" * 64,
                bytes=1,
                inputs=(
                    TensorSpec(
                        name="image", shape=(1, 3, 8, 8), layout="NCHW", meaning="normalized"
                    ),
                ),
                outputs=(TensorSpec(name="logits", shape=(1, 10), layout="NC", meaning="logits"),),
                gates=(gate("qnn.snr_db", 20 if name == passing else 8, 9.5),),
                quantization=Quantization(plan=plan.name, calibration=None),
            )
        )
    for path in (plan, *(tmp_path / each.path for each in artifacts)):
        path.write_bytes(b"0")
    kept, withheld = pipeline._split_withheld(artifacts, request(tmp_path), tmp_path)
    assert [each.path for each in kept] == [passing] * plan_stays
    assert len(withheld) == 2 - plan_stays
    assert plan.exists() == plan_stays
    assert not any((tmp_path / each.path).exists() for each in withheld)
