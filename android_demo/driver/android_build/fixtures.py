"""Python's results on photos, as reference values for the Kotlin tests: levels, inputs, logits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from android_build.photos import DIGIT, SCENE, Photo, digit, make_photos, scene, tall_photo
from android_build.project import ANDROID
from lolvit.drawing import palette
from lolvit.manifest import (
    Artifact,
    Layout,
    Preprocessing,
    TensorSpec,
    check_artifact,
    read_manifest,
)
from lolvit.tasks.segmentation import SegmentationMap
from lolvit_runtimes.photos import load_encoded
from lolvit_runtimes.predict import load
from lolvit_runtimes.preprocessing import Pixels, to_input, to_pixels
from lolvit_runtimes.session import open_session

PREDICTIONS = ANDROID.parent / "tests" / "vectors" / "predictions.json"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Every rule of preprocessing: square and other boxes, crops and none, both filters, enlarging.
SETTINGS = {
    "square": Preprocessing(size=(256, 256), crop_pct=0.875, mean=_MEAN, std=_STD),
    "wide": Preprocessing(size=(192, 320), crop_pct=0.9, mean=_MEAN, std=_STD),
    "tall": Preprocessing(size=(65, 33), crop_pct=0.95, mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7)),
    "bilinear": Preprocessing(
        size=(96, 96), crop_pct=1.0, interpolation="bilinear", mean=_MEAN, std=_STD
    ),
}
# Those that only the Kotlin library has: stretching, black or grey around a photo, grey levels.
KOTLIN_SETTINGS = {
    "stretched": Preprocessing(
        size=(48, 80), resize="stretch", crop_pct=0.95, mean=_MEAN, std=_STD
    ),
    "padded": Preprocessing(size=(64, 65), crop_pct=1.15, mean=_MEAN, std=_STD),
    "grey": Preprocessing(size=(32, 48), crop_pct=0.9, mean=(0.4,), std=(0.3,), color="L"),
    "letterbox": Preprocessing(
        size=(65, 96), resize="letterbox", crop_pct=1.0, mean=_MEAN, std=_STD
    ),
}
_WITH_INPUTS = "tall"  # float inputs are written for the smallest only
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")
# What is run through whole models.
MODEL_PHOTOS = (
    "full.png",
    "alpha.png",
    "grey.png",
    "palette.png",
    "exif-6.png",
    "size-301x451.png",
    "12-megapixels-turned.jpg",
)
# Lossless ones, for detection and segmentation.
DENSE_PHOTOS = (
    "full.png",
    "alpha.png",
    "grey.png",
    "exif-6.png",
    "size-301x451.png",
    "size-900x30.png",
    SCENE,
)
_RUNTIMES = {"onnx": "ort", "tflite": "litert"}


def write_fixtures(folder: Path, models: list[Path]) -> dict[str, int]:
    """Write photos, `vectors.json` (levels and inputs), `logits.json`, `dense.json` (predictions
    of detection and segmentation), and `predictions.json` (those of made-up outputs, which all
    languages share, and the palette of classes); return what is there.

    Kotlin reads numbers as raw little-endian files that the documents name.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "photos").mkdir(parents=True)
    photos = [*make_photos(), tall_photo()]
    for photo in photos:
        (folder / "photos" / photo.name).write_bytes(photo.data)
    (folder / "photos" / DIGIT).write_bytes(digit())
    (folder / "photos" / SCENE).write_bytes(scene())
    vectors = [_kotlin_vector(folder, photo) for photo in photos]
    settings = {
        name: value.model_dump(mode="json") for name, value in (SETTINGS | KOTLIN_SETTINGS).items()
    }
    _write(folder / "vectors.json", {"settings": settings, "photos": vectors})
    logits = [entry for model in models for entry in _logits(folder, model)]
    dense = [entry for model in models for entry in _dense(folder, model)]
    _write(folder / "dense.json", {"artifacts": dense})
    colours = [dict(zip(("red", "green", "blue"), rgb, strict=True)) for rgb in palette(40)]
    _write(folder / "predictions.json", json.loads(PREDICTIONS.read_text()) | {"palette": colours})
    _write(folder / "logits.json", {"artifacts": logits})  # last: it is the newest
    return {"photos": len(photos), "settings": len(settings), "artifacts": len(logits)}


def vector(folder: Path, photo: Photo) -> dict[str, Any]:
    """Write the levels of a photo for each of `SETTINGS`, and its inputs for one of them; return
    the names of the files, by setting and layout."""
    image = photo.decoded()
    return {
        "photo": photo.name,
        "tolerance": photo.tolerance,
        "subsampling": photo.subsampling,
        "size": [side // photo.subsampling for side in (image.height, image.width)],
        "levels": _levels(folder, photo, SETTINGS),
        "inputs": _inputs(folder, photo, _WITH_INPUTS, SETTINGS[_WITH_INPUTS]),
    }


def _kotlin_vector(folder: Path, photo: Photo) -> dict[str, Any]:
    """As `vector`, with `KOTLIN_SETTINGS` too."""
    found = vector(folder, photo)
    found["levels"] |= _levels(folder, photo, KOTLIN_SETTINGS)
    return found | {"grey_inputs": _inputs(folder, photo, "grey", KOTLIN_SETTINGS["grey"])}


def _pixels(photo: Photo, settings: Preprocessing) -> Pixels:
    return to_pixels(photo.decoded(settings.color), settings)


def _levels(folder: Path, photo: Photo, settings: dict[str, Preprocessing]) -> dict[str, str]:
    """Write the levels of red, green and blue; grey ones three times, as Kotlin has them."""
    written: dict[str, str] = {}
    for name, preprocessing in settings.items():
        pixels = _pixels(photo, preprocessing)
        rgb = np.repeat(pixels, 3 // preprocessing.channels, axis=2)
        written[name] = _raw(folder, f"{photo.name}.{name}.u8", rgb)
    return written


def _inputs(folder: Path, photo: Photo, name: str, settings: Preprocessing) -> dict[str, str]:
    (height, width), channels = settings.size, settings.channels
    written = {"settings": name}
    for layout in LAYOUTS:
        shape = (1, height, width, channels) if layout == "NHWC" else (1, channels, height, width)
        spec = TensorSpec(name="image", shape=shape, layout=layout, meaning="normalized")
        values = to_input(_pixels(photo, settings), settings, spec)
        written[layout] = _raw(folder, f"{photo.name}.{name}.{layout}.f32", values)
    return written


def _dense(folder: Path, model: Path) -> list[dict[str, Any]]:
    """Return a detector's or a segmentation model's predictions, for each of its artifacts."""
    manifest = read_manifest(model)
    if manifest.task == "classification":
        return []
    return [
        {
            "model": model.name,
            "task": manifest.task,
            "format": artifact.format,
            "precision": artifact.precision,
            "predictions": _predictions(folder, model, _RUNTIMES[artifact.format]),
        }
        for artifact in manifest.artifacts
        if artifact.format in _RUNTIMES
    ]


def _predictions(folder: Path, model: Path, runtime: str) -> list[dict[str, Any]]:
    """Return a prediction for each of `DENSE_PHOTOS`: objects, or the file with the map."""
    found: list[dict[str, Any]] = []
    with load(model, runtime=runtime) as predictor:
        for name in DENSE_PHOTOS:
            prediction = predictor(folder / "photos" / name)
            if isinstance(prediction, SegmentationMap):
                raw = _raw(folder, f"{model.name}.{runtime}.{name}.u8", prediction.classes)
                found.append({"photo": name, "classes": raw})
            else:
                found.append({"photo": name, **prediction.as_document()})
    return found


def _logits(folder: Path, model: Path) -> list[dict[str, Any]]:
    manifest = read_manifest(model)
    if manifest.task != "classification":
        return []
    return [
        {
            "model": model.name,
            "format": artifact.format,
            "precision": artifact.precision,
            "logits": _run(folder, model, artifact, manifest.preprocessing),
        }
        for artifact in manifest.artifacts
        if artifact.format in _RUNTIMES
    ]


def _run(
    folder: Path, model: Path, artifact: Artifact, preprocessing: Preprocessing
) -> dict[str, str]:
    """Write a packaged artifact's logits for each of `MODEL_PHOTOS`, computed with one thread."""
    session = open_session(_RUNTIMES[artifact.format], check_artifact(model, artifact), artifact)
    written: dict[str, str] = {}
    for name in MODEL_PHOTOS:
        image = load_encoded((folder / "photos" / name).read_bytes(), name)
        inputs = to_input(to_pixels(image, preprocessing), preprocessing, artifact.image)
        logits = session.run({artifact.image.name: inputs})[artifact.outputs[0].name]
        written[name] = _raw(folder, f"{model.name}.{artifact.path}.{name}.f32", logits)
    session.close()
    return written


def _raw(folder: Path, name: str, values: np.ndarray) -> str:
    (folder / name).write_bytes(np.ascontiguousarray(values).tobytes())
    return name


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1))
