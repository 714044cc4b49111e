"""What the gates of an artifact say in plain words, and what to try where one failed."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from lolvit.manifest import (
    Artifact,
    Gate,
    Manifest,
    Quantization,
    RewriteRecord,
    TensorSpec,
    read_manifest,
)
from lolvit.tasks import find_task, task_names
from lolvit_export import outcome
from lolvit_export.outcome import next_commands, print_artifacts, show
from lolvit_export.quantization.recommend import recommendations
from lolvit_export.request import ExportResult
from lolvit_export.verification import words
from lolvit_export.verification.comparison import gate
from lolvit_export.verification.words import advice, sentences
from tests.benchmarks.tiny import make_folder
from tests.export.gates import ALL

IMAGE = TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW", meaning="normalized")
LOGITS = TensorSpec(name="logits", shape=(1, 3), layout="NC", meaning="logits")


def artifact(*gates: Gate, **changes: object) -> Artifact:
    made = Artifact(
        path="model-fp32.onnx", format="onnx", precision="fp32", sha256="0" * 64, bytes=4_000_000,
        inputs=(IMAGE,), outputs=(LOGITS,), gates=gates,
    )  # fmt: skip
    return made.model_copy(update=changes)


def said(name: str, value: float, threshold: float, **changes: object) -> str:
    (sentence,) = sentences(artifact(gate(name, value, threshold), **changes))
    return sentence.partition(": ")[2]


QUANTIZED = {"quantization": Quantization(plan="a.plan.json", calibration=None)}
# name, value, threshold, changes of the artifact, what is said
SAID: list[tuple[str, float, float, dict[str, object], str]] = [
    ("ort.snr_db", 121.34, 100, {}, "agrees with PyTorch to 121.3 dB (threshold 100)"),
    (
        "ort.snr_db", 16.43, 100, {},
        "agrees with PyTorch to 16.4 dB (threshold 100, missed by 83.6 dB)",
    ),
    ("ort.snr_db", 300, 100, {}, "equals PyTorch's to the last bit"),
    ("ort.low.snr_db", 49.56, 45, {}, "output low agrees with PyTorch to 49.6 dB (threshold 45)"),
    ("ort.top1", 1, 1, {}, "same top class on 8 of 8 photos"),
    (
        "ort.top1", 0.75, 0.875, {},
        "same top class on 6 of 8 photos (threshold 87.5 %, missed by 12.5 points)",
    ),
    (
        "ort.top1", 0.997, 0.9, QUANTIZED,
        "same top class on 99.7 % of the held-out images (threshold 90 %)",
    ),
    (
        "ort.top1_change", -1.41, -1, {"measurements": {"eager.top1_accuracy": 98.873}},
        "top-1 accuracy 1.4 points below PyTorch's 98.87 %"
        " (threshold -1 points, missed by 0.41 points)",
    ),
    ("ort.ap_change", 0.19, -1, {}, "AP 0.19 points above PyTorch's (threshold -1 points)"),
    ("ort.mask.equal", 0.5, 0.98, {}, "50 % of mask equal to PyTorch's (threshold 98 %,"
     " missed by 48 points)"),
    ("ort.matched_detections", 0.938, 0.85, {},
     "93.8 % of the detections are PyTorch's (threshold 85 %)"),
    ("ort.worst_class_recall", 0.84, 0.5, {}, "84 % of the worst class found again"
     " (threshold 50 %)"),
    ("litert-gpu.on_gpu", 0.87, 1, {},
     "87 % of the operations ran on the GPU (threshold 100 %, missed by 13 points)"),
    ("eager.fp16_headroom", 0.0683, 1, {},
     "an activation of 959,063 overflows half precision, whose limit is 65,504"),
    ("eager.fp16_headroom", 1300, 1, {},
     "the largest activation is 1,300 times below half precision's limit"),
    ("ort.same_side", 0.5, 1, {}, "same_side 0.5 (threshold 1, missed by 0.5)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "threshold", "changes", "expected"), SAID)
def test_a_gate_says(
    name: str, value: float, threshold: float, changes: dict[str, object], expected: str
) -> None:
    assert said(name, value, threshold, **changes) == expected


def test_each_runtime_has_one_sentence_and_every_kind_of_gate_words_of_its_own() -> None:
    lines = sentences(artifact(*ALL))
    assert [line.partition(":")[0] for line in lines] == ["ort", "litert-gpu", "eager"]
    for each in ALL:
        assert "_" not in said(each.name, each.value, each.threshold)


def test_each_tasks_agreement_has_words() -> None:
    named = {find_task(name).agreement for name in task_names()} - {None}
    assert named <= set(words._CLAUSES)


@pytest.mark.parametrize(
    ("failed", "quantized", "trained", "has"),
    [
        (gate("eager.fp16_headroom", 0.1, 1), False, True, "use fp32 or int8"),
        (gate("litert-gpu.on_gpu", 0.5, 1), False, True, "lolvit lint"),
        (gate("ort.snr_db", 5, 9.5), True, True, "--calibrate"),
        (gate("ort.snr_db", 5, 9.5), True, False, "--weights"),
        (gate("ort.snr_db", 50, 100), False, True, "--no-rewrites"),
    ],
)
def test_a_failed_gate_comes_with_what_to_try(
    failed: Gate, quantized: bool, trained: bool, has: str
) -> None:
    assert has in advice(artifact(failed), quantized=quantized, trained=trained)


def test_in_a_file_of_output_what_to_try_stands_behind_the_table(tmp_path: Path) -> None:
    out = Console(file=StringIO(), width=80)
    withheld = artifact(gate("ort.snr_db", 50, 100))
    print_artifacts(read_manifest(make_folder(tmp_path / "export")), (withheld,), out)
    (line,) = [line for line in out.file.getvalue().splitlines() if "to try" in line]  # type: ignore[attr-defined]
    assert line.startswith("model-fp32.onnx: to try: add --no-rewrites, ")


def test_rewrites_that_found_nothing_are_in_the_manifest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = (
        RewriteRecord(name="cancel_transposes", applied=2),
        RewriteRecord(name="remove_expand", applied=0),
        RewriteRecord(name="sum_to_matmul", applied=0, match_failures=("sum: it is long",)),
    )
    manifest = read_manifest(make_folder(tmp_path / "export")).model_copy(
        update={"rewrites": records}
    )
    out = Console(file=StringIO(), width=80)
    monkeypatch.setattr(outcome, "results", lambda: out)
    show(ExportResult(folder=tmp_path, manifest=manifest))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "rewrite cancel_transposes: applied 2 times" in text
    assert "rewrite sum_to_matmul: applied 0 times, match failed 1 times" in text
    assert "remove_expand" not in text


def test_of_outputs_that_hardly_depend_on_the_image_that_is_said() -> None:
    failed = artifact(gate("ort.boxes.snr_db", 80, 90))
    raised = failed.model_copy(update={"measurements": {"ort.boxes.constant_snr_db": 89.0}})
    said = advice(raised, quantized=False, trained=True)
    assert "the same outputs for every image would agree to 89.0 dB" in said


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return read_manifest(make_folder(tmp_path_factory.mktemp("tiny") / "model"))


def changed(manifest: Manifest, *artifacts: Artifact, **changes: object) -> Manifest:
    return manifest.model_copy(update={"artifacts": artifacts, **changes})


def test_the_fastest_artifact_is_recommended_with_its_speedup(manifest: Manifest) -> None:
    fp32 = artifact()
    measured = {"ort.speedup_vs_fp32": 2.204, "size_fp32": 0.29}
    int8 = artifact(path="model-int8.onnx", precision="int8", measurements=measured)
    timed = changed(manifest, fp32, int8, recommended={"ort": int8.path})
    assert recommendations(timed) == [
        "recommended in ort: model-int8.onnx, speedup 2.20 over fp32 on this machine, 29 % of its"
        " size"
    ]
    slower = changed(manifest, fp32, int8, recommended={"ort": fp32.path})
    assert recommendations(slower) == [
        "recommended in ort: model-fp32.onnx, no quantized artifact is faster here"
    ]


def test_a_format_that_can_not_be_timed_here_is_recommended_beside_one_that_was(
    manifest: Manifest,
) -> None:
    fp32, int8 = artifact(), artifact(path="model-int8.onnx", precision="int8")
    apple = [
        artifact(path=f"model-{precision}.mlpackage", format="coreml", precision=precision)
        for precision in ("int8", "fp32")
    ]
    timed = changed(manifest, fp32, int8, *apple, recommended={"ort": fp32.path})
    assert recommendations(timed) == [
        "recommended in ort: model-fp32.onnx, no quantized artifact is faster here",
        "recommended: model-fp32.mlpackage, the most precise (speed was not measured)",
    ]


def test_without_times_the_most_precise_is_recommended_and_that_is_said(manifest: Manifest) -> None:
    fp16, fp32 = artifact(path="model-fp16.onnx", precision="fp16"), artifact()
    other = artifact(path="model-fp32.tflite", format="tflite")
    assert recommendations(changed(manifest, fp16, fp32, other)) == [
        "recommended: model-fp32.onnx, model-fp32.tflite, the most precise (speed was not measured)"
    ]


def test_the_next_commands_have_the_real_folder_and_fit_the_model(manifest: Manifest) -> None:
    folder = Path("my out/net-64x96")
    own = {"model": "net", "size": (64, 96), "task": "classification"}
    trained = manifest.weights.model_copy(update={"trained": True})
    where = "'my out/net-64x96'"
    assert next_commands(folder, changed(manifest, artifact(), **own, weights=trained)) == [
        f"lolvit predict {where} photo.jpg",
        f"lolvit bench {where} --against mobilevit_xs --size 64x96",
        f"lolvit package {where} --android MyApp",
    ]
    untrained = manifest.weights.model_copy(update={"trained": False})
    variant = changed(manifest, artifact(), **(own | {"model": "lolvit_xx"}), weights=untrained)
    assert next_commands(folder, variant) == [
        f"lolvit bench {where} --against mobilevit_xxs --size 64x96"
    ]
    tensors = changed(manifest, artifact(), **(own | {"task": "tensors"}), weights=trained)
    assert next_commands(folder, tensors) == [f"lolvit predict {where} photo.jpg"]
