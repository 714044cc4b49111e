"""Python's results on photos, as reference values for the Swift tests: levels, inputs, rankings."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lolvit
from android_build.fixtures import SETTINGS, vector
from android_build.photos import make_photos
from lolvit.files import sha256_of, size_of
from lolvit.tasks import Model
from lolvit_data.bundled import bundled_photo
from lolvit_data.digits import load as load_digits
from lolvit_runtimes.photos import load_encoded
from lolvit_runtimes.predict import Predictor
from lolvit_runtimes.preprocessing import to_pixels

NETWORK, WEIGHTS = "lolvit_xx", "lolvit_xx.digits"
RUNTIMES = {"coreml": "coreml-reference", "coreai": "coreai"}
PHOTOS = (
    "astronaut", "camera", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry",
    "retina", "rocket",
)  # fmt: skip
DIGITS = 12
# Files of a folder whose order by path components differs from that of their paths as text.
AWKWARD_NAMES = ("a/x", "a-b/x", "a/é", "a/z", "Z")
_MANIFESTS = "android_demo/lolvit/src/test/resources/manifest-schema-{}.json"


def write_fixtures(folder: Path, root: Path) -> None:
    """Write decoded photos, `vectors.json`, an exported model and `predictions.json`.

    Numbers are raw little-endian files that the documents name. `root` is the repository's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = {name: value.model_dump(mode="json") for name, value in SETTINGS.items()}
    _write(folder / "vectors.json", {"settings": settings, "photos": list(_vectors(folder))})
    exported = lolvit.export(
        NETWORK, weights=WEIGHTS, targets=list(RUNTIMES), precision=["fp16"], out=folder
    )
    predictions = [
        _predictions(folder, exported.folder / artifact.path, RUNTIMES[artifact.format])
        for artifact in exported.manifest.artifacts
    ]
    _write(folder / "predictions.json", predictions)
    _write(folder / "folder-hash.json", _folder_hash())
    for schema in (1, 2):
        shutil.copy(root / _MANIFESTS.format(schema), folder)


def _vectors(folder: Path) -> Iterator[dict[str, Any]]:
    """Write the decoded photos that Kotlin's tests decode, with their levels and inputs. Phones
    decode the largest at half its size, which a decoder does, not preprocessing."""
    for photo in make_photos():
        if photo.subsampling == 1:
            image = load_encoded(photo.data, photo.name)
            yield {**vector(folder, photo), **_decoded(folder, photo.name, image)}


def _decoded(folder: Path, name: str, image: Image.Image) -> dict[str, Any]:
    rgb = np.asarray(image.convert("RGB"))  # (H, W, 3)
    return {"size": list(rgb.shape[:2]), "decoded": _raw(folder, f"{name}.rgb", rgb)}


def _predictions(folder: Path, artifact: Path, runtime: str) -> dict[str, Any]:
    """Write inputs and outputs of an artifact for each photo, and return its rankings."""
    with lolvit.load(artifact, runtime=runtime) as predictor:
        photos = [_prediction(folder, predictor, *photo) for photo in _model_photos()]
    return {
        "model": artifact.parent.name,
        "artifact": artifact.name,
        "runtime": runtime,
        "photos": photos,
    }


def _model_photos() -> Iterator[tuple[str, Image.Image]]:
    for name in PHOTOS:
        yield name, bundled_photo(name)
    for index, image in enumerate(load_digits("test").images[:DIGITS]):
        yield f"digit-{index}", image.convert("RGB")


def _prediction(
    folder: Path, predictor: Predictor, name: str, photo: Image.Image
) -> dict[str, Any]:
    prepared = predictor.prepare(photo)
    outputs = predictor.outputs(prepared.inputs)
    about = Model(prepared.placement, predictor.labels)
    ranking = predictor.task.predict(outputs, about, {}).as_document()
    (logits,) = outputs.values()
    as_pixels = predictor.input.meaning == "pixels"
    given = to_pixels(photo, predictor.preprocessing) if as_pixels else prepared.inputs
    prefix = f"{predictor.path.name}.{name}"
    return {
        "photo": name,
        "input": _raw(folder, f"{prefix}.input", given),
        "outputs": _raw(folder, f"{prefix}.outputs", logits),
        **_decoded(folder, name, photo),
        **ranking,
    }


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
