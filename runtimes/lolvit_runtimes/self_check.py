"""`self-check.json`: a photo and the outputs that an app's artifacts have for it.

An app runs it when a model is first opened, on each compute unit or engine until one agrees: the
Neural Engine, the GPU and the CPU round differently, and one of them may compute something else.
The outputs are those of the artifact itself on this machine: in the interpreter of Core ML
programs, in Core AI's runtime, in LiteRT or in ONNX Runtime.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.errors import MissingExtraError
from lolvit.files import write_atomic
from lolvit.manifest import Artifact, Preprocessing, check_artifact, read_manifest
from lolvit_runtimes.photos import bundled_photo_path, load_photo
from lolvit_runtimes.preprocessing import Pixels, to_input, to_pixels
from lolvit_runtimes.session import RUNTIMES, Array, open_session
from lolvit_runtimes.worker.isolated import IsolatedSession

NAME = "self-check.json"
SCHEMA_VERSION = 1
_REFERENCE = {
    "coreml": "coreml-reference",
    "coreai": "coreai",
    "tflite": "litert",
    "onnx": "ort",
}
# Of a compute unit's outputs, against those of this machine for the same artifact. Units that
# accumulate in half precision lose more than the artifact's gates allow; what is below is another
# result, not another rounding.
_LEAST_SNR_DB = {"fp32": 60.0, "fp16": 30.0, "w8a16": 25.0, "int8": 20.0, "w4": 20.0}


def write_self_check(folder: Path) -> Path | None:
    """Write the self-check of the artifacts for apps that are in an export folder, or in a copy of
    one for an app; return its path, or None if there are none.

    Raises:
        UserError: the manifest or an artifact is damaged, or asks for what this machine can't run.
        MissingExtraError: the artifact's runtime, or the photo, is not installed.
        DeviceError: the runtime failed.
    """
    manifest = read_manifest(folder)
    artifacts = [
        artifact
        for artifact in manifest.artifacts
        if artifact.format in _REFERENCE and (folder / artifact.path).exists()
    ]
    if not artifacts:
        return None
    pixels = _pixels(manifest.preprocessing)
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "lolvit-self-check",
        "size": list(manifest.preprocessing.size),
        "levels": _encoded(pixels),
        "artifacts": [_entry(folder, a, pixels, manifest.preprocessing) for a in artifacts],
    }
    path = folder / NAME
    write_atomic(path, json.dumps(document, indent=1) + "\n")
    return path


def _pixels(preprocessing: Preprocessing) -> Pixels:
    photo = bundled_photo_path()
    if photo is None:
        raise MissingExtraError("export", needed_for="the self-check's photo")
    return to_pixels(load_photo(photo, preprocessing.color), preprocessing)


def _entry(
    folder: Path, artifact: Artifact, pixels: Pixels, preprocessing: Preprocessing
) -> dict[str, Any]:
    """Return an artifact's outputs for the photo, by the names that the artifact has for them."""
    outputs = _outputs(folder, artifact, to_input(pixels, preprocessing, artifact.image))
    return {
        "path": artifact.path,
        "sha256": artifact.sha256,
        "min_snr_db": artifact.device_threshold_db(_LEAST_SNR_DB[artifact.precision]),
        "outputs": [
            {
                "name": spec.name,
                "shape": list(outputs[spec.name].shape),
                "values": _encoded(outputs[spec.name].astype("<f4")),
            }
            for spec in artifact.outputs
        ],
    }


def _outputs(folder: Path, artifact: Artifact, image: Array) -> dict[str, Array]:
    runtime = _REFERENCE[artifact.format]
    opened = IsolatedSession if RUNTIMES[runtime].isolated else open_session
    session = opened(runtime, check_artifact(folder, artifact), artifact, threads=1)
    try:
        return session.run({artifact.image.name: image})
    finally:
        session.close()


def _encoded(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
