"""Python's results on photos, as reference values for the Swift tests."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import lolvit
from android_build.benchmark_vectors import write_benchmark_vectors
from android_build.fixtures import KOTLIN_SETTINGS, SETTINGS, vector
from android_build.photos import Photo, make_photos, tall_photo
from lolvit.files import sha256_of, size_of
from lolvit.manifest import Preprocessing
from lolvit.tasks import Model
from lolvit.tasks.segmentation import SegmentationMap
from lolvit_data.digits import load as load_digits
from lolvit_runtimes.predict import Predictor
from lolvit_runtimes.preprocessing import to_pixels
from lolvit_runtimes.self_check import write_self_check

RUNTIMES = {"coreml": "coreml-reference", "coreai": "coreai"}
_MEAN, _STD = (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)
LETTERBOXES = {
    "letterbox": Preprocessing(
        size=(64, 97), resize="letterbox", crop_pct=1, mean=_MEAN, std=_STD
    ),
    "grey letterbox": Preprocessing(
        size=(49, 33), resize="letterbox", crop_pct=1, interpolation="bilinear", mean=(0.4,),
        std=(0.3,), color="L",
    ),
}  # fmt: skip
# Run through whole models: odd sizes, grey, transparent, turned, tiny, 12 megapixels.
MODEL_PHOTOS = (
    "full.png", "size-1x1.png", "size-3x2.png", "size-2x7.png", "size-17x40.png", "size-97x65.png",
    "size-256x256.png", "size-301x451.png", "size-900x30.png", "grey.png", "grey-alpha.png",
    "alpha.png", "palette.png", "sixteen-bit-grey.png", "lossless.webp", "quality-50.jpg",
    "exif-3.png", "exif-6.jpg", "exif-7.jpg", "display-p3.jpg", "12-megapixels-turned.jpg",
)  # fmt: skip
DIGITS = 4
# Untrained detectors see nothing: this many scores are above the threshold that is asked for.
CANDIDATES = 80
# Files of a folder whose order by path components differs from that of their paths as text.
AWKWARD_NAMES = ("a/x", "a-b/x", "a/é", "a/z", "Z")
_MANIFESTS = "android_demo/lolvit/src/test/resources/manifest-schema-{}.json"
_VECTORS = ("predictions", "statistics")


@dataclass(frozen=True)
class Subject:
    """A model that is exported, and the options of its export."""

    name: str
    targets: tuple[str, ...]
    precision: str
    options: dict[str, Any]


SUBJECTS = (
    # Small, as the reference of Core AI takes a second for each photo of 256 x 256 pixels.
    Subject(
        "lolvit_xx", ("coreml", "coreai"), "fp16",
        {"weights": "lolvit_xx.digits", "size": (64, 64)},
    ),
    Subject(
        "lolvit_xx", ("coreml",), "fp32",
        {"task": "detection", "num_classes": 3, "size": (96, 128), "resize": "letterbox",
         "labels": ("ant", "bee", "cat"), "name": "detector"},
    ),
    Subject(
        "lolvit_xx", ("coreml",), "fp32",
        {"task": "segmentation", "num_classes": 4, "size": (96, 128), "name": "segmenter"},
    ),
)  # fmt: skip


def write_fixtures(folder: Path, root: Path) -> None:
    """Write decoded photos, `vectors.json`, exported models, `predictions.json`, and the vectors
    that the libraries of all languages share.

    Numbers are raw little-endian files that the documents name. `root` is the repository's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    photos = [*make_photos(subsampled=False), tall_photo()]
    settings = {name: value.model_dump(mode="json") for name, value in _settings().items()}
    vectors = [_vector(folder, photo) for photo in photos]
    _write(folder / "vectors.json", {"settings": settings, "photos": vectors})
    _write(folder / "predictions.json", list(_all_predictions(folder, photos)))
    _write(folder / "folder-hash.json", _folder_hash())
    write_benchmark_vectors(folder / "benchmark.json")
    for name in _VECTORS:
        shutil.copy(root / "tests" / "vectors" / f"{name}.json", folder / f"shared-{name}.json")
    for schema in (1, 2):
        shutil.copy(root / _MANIFESTS.format(schema), folder)


def _settings() -> dict[str, Preprocessing]:
    return SETTINGS | KOTLIN_SETTINGS | LETTERBOXES


def _vector(folder: Path, photo: Photo) -> dict[str, Any]:
    """Write a decoded photo, which phones decode themselves, with its levels and inputs."""
    found = vector(folder, photo)
    for name, preprocessing in (KOTLIN_SETTINGS | LETTERBOXES).items():
        pixels = to_pixels(photo.decoded(preprocessing.color), preprocessing)
        found["levels"][name] = _raw(folder, f"{photo.name}.{name}.u8", pixels)
    return {
        **found,
        **_decoded(folder, photo.name, photo.decoded()),
        **_stored(folder, photo),
    }


def _decoded(folder: Path, name: str, image: Image.Image) -> dict[str, Any]:
    rgb = np.asarray(image.convert("RGB"))  # (H, W, 3)
    return {"size": list(rgb.shape[:2]), "decoded": _raw(folder, f"{name}.rgb", rgb)}


def _stored(folder: Path, photo: Photo) -> dict[str, Any]:
    """Write a turned photo as its file has it, with its EXIF orientation."""
    if not photo.name.startswith("exif-"):
        return {}
    with Image.open(io.BytesIO(photo.data)) as image:
        orientation = image.getexif()[0x0112]
        rgb = np.asarray(image.convert("RGB"))
    stored = _raw(folder, f"{photo.name}.stored.rgb", rgb)
    return {"orientation": orientation, "stored": stored, "stored_size": list(rgb.shape[:2])}


def _all_predictions(folder: Path, photos: list[Photo]) -> Iterator[dict[str, Any]]:
    """Export the models, and yield what Python makes of the photos with each artifact."""
    chosen = _model_photos(photos)
    for subject in SUBJECTS:
        torch.manual_seed(0)
        exported = lolvit.export(
            subject.name, targets=list(subject.targets), precision=[subject.precision], out=folder,
            **subject.options,
        )  # fmt: skip
        write_self_check(exported.folder)
        for artifact in exported.manifest.artifacts:
            path = exported.folder / artifact.path
            yield _predictions(folder, path, RUNTIMES[artifact.format], chosen)


def _predictions(
    folder: Path, artifact: Path, runtime: str, photos: list[tuple[str, Image.Image]]
) -> dict[str, Any]:
    with lolvit.load(artifact, runtime=runtime) as predictor:
        found = [_prediction(folder, predictor, *photo) for photo in photos]
        task = predictor.task.name
    return {
        "model": artifact.parent.name,
        "artifact": artifact.name,
        "runtime": runtime,
        "task": task,
        "photos": found,
    }


def _model_photos(photos: list[Photo]) -> list[tuple[str, Image.Image]]:
    decoded = {photo.name: photo.decoded() for photo in photos}
    digits = load_digits("test").images[:DIGITS]
    return [
        *((name, decoded[name]) for name in MODEL_PHOTOS),
        *((f"digit-{index}", image.convert("RGB")) for index, image in enumerate(digits)),
    ]


def _prediction(
    folder: Path, predictor: Predictor, name: str, photo: Image.Image
) -> dict[str, Any]:
    """Write an artifact's input and outputs for a photo, and return the prediction."""
    prepared = predictor.prepare(photo)
    outputs = predictor.session.run({predictor.input.name: prepared.inputs})
    options = _options(outputs)
    about = Model(prepared.placement, predictor.labels)
    prediction = predictor.task.predict(predictor.outputs(prepared.inputs), about, options)
    as_pixels = predictor.input.meaning == "pixels"
    given = to_pixels(photo, predictor.preprocessing) if as_pixels else prepared.inputs
    prefix = f"{predictor.path.parent.name}.{predictor.path.name}.{name}"
    found = {
        "photo": name,
        "input": _raw(folder, f"{prefix}.input", given),
        "outputs": {
            key: _raw(folder, f"{prefix}.{key}.f32", value.astype("<f4"))
            for key, value in outputs.items()
        },
        "options": options,
        "prediction": prediction.as_document(),
        **_decoded(folder, name, photo),
    }
    if isinstance(prediction, SegmentationMap):
        found["map"] = _raw(folder, f"{prefix}.map", prediction.classes)
    return found


def _options(outputs: dict[str, Any]) -> dict[str, float]:
    if "scores" not in outputs:
        return {}
    highest = np.sort(outputs["scores"].ravel())
    return {"score_threshold": float(highest[-CANDIDATES])}


def _folder_hash() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in AWKWARD_NAMES:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)
        return {"sha256": sha256_of(folder), "bytes": size_of(folder)}


def _raw(folder: Path, name: str, values: np.ndarray[Any, Any]) -> str:
    (folder / name).write_bytes(np.ascontiguousarray(values).tobytes())
    return name


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1))
