"""An export in 8 bits from end to end: what was decided is recorded, and can be given back."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lolvit.cli import main
from lolvit.errors import GateFailedError, UserError
from lolvit.manifest import Artifact, Manifest, Quantization, read_manifest
from lolvit.models import create_model
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.factory import preprocessing_of
from lolvit_data.table import open_dataset
from lolvit_export.quantization.candidates import Candidates
from lolvit_export.quantization.plan import Plan, read_plan, write_plan
from lolvit_export.quantization.recommend import recommended, slower_than_float
from lolvit_export.quantization.search import NO_THRESHOLDS, Thresholds
from lolvit_export.request import ExportRequest
from lolvit_export.targets import find_target
from lolvit_runtimes.preprocessing import normalize, to_pixels
from tests.export.requests import export, request
from tests.export.test_quantize_search import ARTIFACT

SIZE = (32, 32)
Export = Callable[..., tuple[Path, Manifest]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LOLViT-XX after a few seconds of training on digits; it records what it was trained on."""
    torch.manual_seed(0)
    dataset = open_dataset("digits", "train")
    model = create_model("lolvit_xx", num_classes=len(dataset.classes))
    preprocessing = preprocessing_of(model, SIZE).model_copy(update={"crop_pct": 1.0})
    crops = [to_pixels(dataset.image(i), preprocessing) for i in range(len(dataset.labels))]
    images = torch.from_numpy(np.concatenate([normalize(crop, preprocessing) for crop in crops]))
    labels = torch.tensor(dataset.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(2):
        for batch in torch.randperm(len(labels)).split(48):
            loss = cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    path = tmp_path_factory.mktemp("trained") / "digits.safetensors"
    config = {
        "model": "lolvit_xx",
        "num_classes": 10,
        "trained": True,
        "data": "digits",
        "labels": list(dataset.classes),
        "preprocess": preprocessing.model_dump(),
    }
    save_checkpoint(model.eval(), path, config)
    return path


def asked(checkpoint: Path | None, out: Path, **changes: object) -> ExportRequest:
    given = {"precisions": ("int8",), "size": SIZE, "weights": checkpoint} | changes
    return request(out, **given)


@pytest.fixture(scope="module")
def searched(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    return export(asked(checkpoint, tmp_path_factory.mktemp("searched")))


@pytest.mark.slow
def test_a_trained_model_passes_and_is_small(searched: tuple[Path, Manifest]) -> None:
    folder, manifest = searched
    assert read_manifest(folder) == manifest
    (artifact,) = manifest.artifacts
    assert {gate.name for gate in artifact.gates} == {"ort.snr_db", "ort.top1", "ort.top1_change"}
    assert all(gate.passed for gate in artifact.gates)
    assert artifact.measurements["size_fp32"] < 0.4
    assert artifact.measurements["ort.speedup_vs_fp32"] > 0
    assert artifact.quantization == Quantization(
        plan="model-int8.onnx.plan.json", calibration="digits"
    )


@pytest.mark.slow
def test_fp32_that_nobody_asked_for_is_not_left_behind(searched: tuple[Path, Manifest]) -> None:
    names = {path.name for path in searched[0].iterdir()}
    assert names == {
        "manifest.json",
        "model-int8.onnx",
        "model-int8.onnx.plan.json",
        "weights.safetensors",
    }


@pytest.mark.slow
def test_the_plan_tells_what_was_tried(
    searched: tuple[Path, Manifest],
) -> None:
    plan = read_plan(searched[0] / "model-int8.onnx.plan.json")
    assert {"minmax", "percentile", "mse", "entropy"} == {c.method for c in plan.candidates}
    assert any(candidate.speedup_vs_fp32 for candidate in plan.candidates)
    assert plan.sensitivity == ()  # ranked only where the thresholds are not met without
    assert not plan.for_timing


@pytest.mark.slow
def test_an_edited_plan_is_followed_without_a_search(
    checkpoint: Path, searched: tuple[Path, Manifest], tmp_path: Path
) -> None:
    plan = read_plan(searched[0] / "model-int8.onnx.plan.json")
    edited = plan.model_copy(
        update={
            "operations": ("Conv",),
            "method": "mse",
            "float_layers": ("stem.patches.conv/conv2d",),
        }
    )
    write_plan(tmp_path / "edited.json", edited)
    said: list[str] = []
    folder, _ = export(
        asked(checkpoint, tmp_path / "out", plans=(tmp_path / "edited.json",)), said.append
    )
    assert read_plan(folder / "model-int8.onnx.plan.json") == edited
    assert not any("sensitivity" in line for line in said)


@pytest.mark.slow
def test_verify_measures_the_same_again(
    searched: tuple[Path, Manifest], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(searched[0]), "--json"]) == 0
    (found,) = json.loads(capfd.readouterr().out)["artifacts"]
    change, *others = sorted(found["gates"], key=lambda gate: gate["name"] != "ort.snr_change")
    assert others == [g.model_dump() for g in searched[1].artifacts[0].gates]
    assert change["name"] == "ort.snr_change" and abs(change["value"]) < 1e-6


@pytest.mark.slow
def test_untrained_weights_fail_their_gates_and_leave_nothing(
    searched: tuple[Path, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precisions = find_target("onnx").precisions
    out_of_reach = dataclasses.replace(precisions["int8"], snr_db=70.0)
    monkeypatch.setitem(precisions, "int8", out_of_reach)  # type: ignore[arg-type]
    plan = read_plan(searched[0] / "model-int8.onnx.plan.json")
    write_plan(tmp_path / "p.json", plan)
    plans = (tmp_path / "p.json",)
    with pytest.raises(GateFailedError, match=r"random weights .* --for-timing"):
        export(asked(None, tmp_path / "out", plans=plans))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_for_timing_random_weights_are_quantized_for_speed_and_failed_gates_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precisions = find_target("onnx").precisions
    out_of_reach = dataclasses.replace(precisions["int8"], snr_db=70.0)
    monkeypatch.setitem(precisions, "int8", out_of_reach)  # type: ignore[arg-type]
    given: list[Thresholds] = []

    def search(candidates: Candidates, thresholds: Thresholds, _: object) -> Plan:
        given.append(thresholds)
        return candidates.plan(("Conv",), "minmax", ())

    monkeypatch.setattr("lolvit_export.quantization.job.search", search)
    folder, manifest = export(asked(None, tmp_path / "out", for_timing=True))
    assert given == [NO_THRESHOLDS]
    (artifact,) = manifest.artifacts
    assert [gate.name for gate in artifact.gates if not gate.passed] == ["ort.snr_db"]
    assert "ort.top1_agreement" in artifact.measurements
    assert read_plan(folder / "model-int8.onnx.plan.json").for_timing


def test_a_plan_for_what_is_not_exported_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(
        json.dumps(
            {
                "format": "tflite",
                "precision": "int8",
                "method": "minmax",
                "operations": ["CONV_2D"],
                "float_layers": [],
            }
        )
    )
    with pytest.raises(UserError, match="plan for tflite in int8, which is not exported"):
        export(asked(None, tmp_path / "out", plans=(tmp_path / "p.json",)))
    twice = (tmp_path / "p.json", shutil.copy(tmp_path / "p.json", tmp_path / "q.json"))
    with pytest.raises(UserError, match="second plan"):
        export(asked(None, tmp_path / "out", targets=("tflite",), plans=twice))


def test_a_format_without_the_precision_is_refused(run_lolvit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run_lolvit("export", "lolvit_xx", "--to", "executorch", "--precision", "int8")
    assert done.returncode == 2
    assert "target executorch does not support precision int8; add --precision fp32" in done.stderr


def artifact(precision: str, speed: float | None = None, format: str = "onnx") -> Artifact:
    measured = {} if speed is None else {"ort.speedup_vs_fp32": speed}
    changes = {
        "path": f"model-{precision}.{format}",
        "precision": precision,
        "format": format,
        "measurements": measured,
    }
    return ARTIFACT.model_copy(update=changes)


def test_the_fastest_artifact_of_a_runtime_is_recommended() -> None:
    fp32, slow, fast = artifact("fp32"), artifact("w8a16", 0.5), artifact("int8", 1.9)
    assert recommended([fp32, slow, fast]) == {"ort": "model-int8.onnx"}
    assert recommended([fp32, slow]) == {"ort": "model-fp32.onnx"}
    assert recommended([slow]) == {}
    assert recommended([fast, slow]) == {"ort": "model-int8.onnx"}
    assert recommended([fp32]) == {}
    assert recommended([artifact("fp32", format="tflite"), fast]) == {"ort": "model-int8.onnx"}


def test_what_is_slower_than_float_is_said_with_the_remedy() -> None:
    slow, fast = artifact("w8a16", 0.5), artifact("int8", 1.9)
    (line,) = slower_than_float([slow, fast])
    assert "model-w8a16.onnx is slower than fp32 in ort" in line
    assert "add --precision fp32" in line
    (line,) = slower_than_float([artifact("fp32"), slow])
    assert "ship fp32" in line
