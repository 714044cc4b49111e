"""Detection and segmentation from a model's name to predictions on photos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import lolvit
from lolvit.cli import main
from lolvit.manifest import Manifest, read_manifest, write_manifest
from lolvit.models.checkpoint import read_state
from lolvit.models.loading import rebuild_model
from lolvit.tasks.detection import Detections
from lolvit.tasks.segmentation import SegmentationMap
from lolvit_data.bundled import bundled_photo
from lolvit_runtimes.preprocessing import normalize, to_pixels
from tests.export.requests import export, request

SIZE = (64, 96)
Exported = tuple[Path, Manifest]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """LOLViT-XX as a detector of three classes, untrained."""
    return export(
        request(
            tmp_path_factory.mktemp("detector"), task="detection", num_classes=3, size=SIZE,
            targets=("onnx", "tflite", "coreml"), precisions=("fp32", "fp16"),
            labels=("cup", "cat", "cell"),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """LOLViT-XX for the segmentation of three classes, untrained, its photos letterboxed."""
    return export(
        request(
            tmp_path_factory.mktemp("segmenter"), task="segmentation", num_classes=3, size=SIZE,
            targets=("onnx", "tflite"), resize="letterbox",
        )
    )  # fmt: skip


def eager(exported: Exported, photo: Image.Image) -> dict[str, np.ndarray]:
    folder, manifest = exported
    state, config = read_state(folder / manifest.weights.path)
    model = rebuild_model(manifest.model, config["num_classes"], state, "here", task=config["task"])
    pixels = to_pixels(photo, manifest.preprocessing)
    with torch.no_grad():
        found = model(torch.from_numpy(normalize(pixels, manifest.preprocessing)))
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.slow
def test_the_manifest_has_the_task_and_each_artifact_its_layout(detector: Exported) -> None:
    folder, manifest = detector
    assert read_manifest(folder) == manifest
    assert manifest.task == "detection"
    assert manifest.postprocessing["strides"] == [8, 16, 32]
    assert [spec.name for spec in manifest.signature.outputs] == ["boxes", "scores"]
    layouts = {a.format: [spec.layout for spec in a.outputs] for a in manifest.artifacts}
    assert layouts == {"onnx": ["NCL"] * 2, "tflite": ["NLC"] * 2, "coreml": ["NCL"] * 2}
    tflite = manifest.find("tflite", "fp32")
    assert tflite is not None
    assert [spec.shape for spec in tflite.outputs] == [(1, 126, 4), (1, 126, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["ort", "litert", "coreml-reference"])
def test_detections_are_those_of_eager_pytorch(detector: Exported, runtime: str) -> None:
    photo = bundled_photo("coffee")
    expected = eager(detector, photo)
    with lolvit.load(detector[0], runtime=runtime) as predictor:
        outputs = predictor.outputs(predictor.prepare(photo).inputs)
        found = predictor(photo, score_threshold=0.0, max_detections=4)
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, atol=2e-4)
    assert isinstance(found, Detections)
    first = found.objects[0]
    assert first.label in ("cup", "cat", "cell")
    assert first.score == pytest.approx(expected["scores"].max(), abs=1e-5)
    assert 0 <= first.box[0] < first.box[2] <= photo.width
    assert 0 <= first.box[1] < first.box[3] <= photo.height


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["ort", "litert"])
def test_the_map_is_that_of_eager_pytorch(segmenter: Exported, runtime: str) -> None:
    photo = bundled_photo("coffee")
    logits = torch.from_numpy(eager(segmenter, photo)["logits"])
    on_input = F.interpolate(logits, SIZE, mode="bilinear", align_corners=False)[0].argmax(0)
    with lolvit.load(segmenter[0], runtime=runtime) as predictor:
        found = predictor(photo)
    assert isinstance(found, SegmentationMap)
    assert found.classes.shape == (photo.height, photo.width)
    assert (found.classes != 255).all()  # the padding is not of the photo
    middle = found.classes[photo.height // 2, photo.width // 2]
    assert middle == on_input[SIZE[0] // 2, SIZE[1] // 2]


@pytest.mark.slow
def test_a_class_map_in_the_graph_is_that_of_the_host(
    segmenter: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same network (untrained: of a seed), once with logits and once with a map."""
    folder, manifest = export(
        request(
            tmp_path, task="segmentation", num_classes=3, size=SIZE, class_map=True,
            targets=("onnx", "tflite", "coreml"), resize="letterbox",
        )
    )  # fmt: skip
    assert manifest.postprocessing == {"kind": "class_map", "num_classes": 3, "ignore": 255}
    (output,) = manifest.signature.outputs
    assert (output.name, output.shape, output.dtype) == ("classes", (1, *SIZE), "int32")
    photo = bundled_photo("coffee")
    with lolvit.load(segmenter[0], runtime="ort") as predictor:
        expected = predictor(photo)
    assert isinstance(expected, SegmentationMap)
    for runtime in ("ort", "litert", "coreml-reference"):
        with lolvit.load(folder, runtime=runtime) as predictor:
            found = predictor(photo)
        assert isinstance(found, SegmentationMap)
        assert (found.classes == expected.classes).mean() > 0.999
        assert len(found.colors) == 3
    names = {gate.name for artifact in manifest.artifacts for gate in artifact.gates}
    assert {"ort.pixel_agreement", "ort.worst_class_recall", "litert.miou"} <= names
    assert main(["verify", str(folder / "model-fp32.onnx")]) == 0


@pytest.mark.slow
def test_predict_draws_and_prints(
    detector: Exported, segmenter: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "a [b].png"
    bundled_photo("coffee").save(photo)
    for folder, key in ((detector[0], "detections"), (segmenter[0], "classes")):
        out = tmp_path / key
        command = ["predict", str(folder), str(photo), str(photo), "--out", str(out)]
        assert main([*command, "--json", "--score-threshold", "0"]) == 0
        first, second = json.loads(capfd.readouterr().out)["predictions"]
        assert first[key]
        assert [Path(each["drawn"]).name for each in (first, second)] == [
            "a [b].png",
            "a [b]~1.png",
        ]
        with Image.open(first["drawn"]) as drawn:
            assert drawn.size == bundled_photo("coffee").size
        assert main(command) == 0
        assert "drawn:" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (5480, 3650)])
def test_photos_of_one_pixel_and_of_twenty_megapixels_have_predictions(
    detector: Exported, segmenter: Exported, size: tuple[int, int]
) -> None:
    photo = bundled_photo("coffee").resize(size)
    with lolvit.load(detector[0], runtime="ort") as predictor:
        boxes = predictor(photo, score_threshold=0.0, max_detections=4)
    assert isinstance(boxes, Detections) and boxes.objects
    assert all(0 <= b.box[0] < b.box[2] <= size[0] for b in boxes.objects)
    assert boxes.draw(photo).size == size
    with lolvit.load(segmenter[0], runtime="ort") as predictor:
        found = predictor(photo)
    assert isinstance(found, SegmentationMap)
    assert found.classes.shape == size[::-1] and (found.classes != 255).all()
    assert found.draw(photo).size == size


@pytest.mark.slow
def test_postprocessing_that_does_not_fit_the_outputs_is_one_line(
    detector: Exported, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, manifest = detector
    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    parameters = {**manifest.postprocessing, "strides": [8, 16]}
    write_manifest(copy, manifest.model_copy(update={"postprocessing": parameters}))
    photo = tmp_path / "photo.png"
    bundled_photo("coffee").save(photo)
    assert main(["predict", str(copy), str(photo)]) == 2
    assert "do not fit the postprocessing of detection" in capfd.readouterr().err


@pytest.mark.slow
def test_verify_and_the_lower_threshold_of_predict(
    segmenter: Exported, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(segmenter[0] / "model-fp32.onnx"), "--json"]) == 0
    (artifact,) = json.loads(capfd.readouterr().out)["artifacts"]
    names = {gate["name"] for gate in artifact["gates"]}
    assert {"ort.snr_db", "ort.pixel_agreement", "ort.miou", "ort.worst_class_recall"} <= names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "detection", "--size", "72"], "no multiple of 32"),
        (["--task", "pose"], "task"),
        (["--resize", "letterbox"], "for detection and segmentation"),
        (["--task", "detection", "--class-map"], "a class map is for segmentation"),
        (["--task", "segmentation", "--nms"], "--nms is for detection"),
    ],
)
def test_what_can_not_be_exported_is_one_line(
    options: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "lolvit_xx", "--to", "onnx", "--out", str(tmp_path)]
    assert main([*command, *options]) == 2
    assert message in capfd.readouterr().err.splitlines()[-1]
