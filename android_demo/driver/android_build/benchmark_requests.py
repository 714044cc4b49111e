"""Requests as the harness makes them, for the app's entry point to be run on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, check_artifact, read_manifest
from lolvit_benchmarks.backends.android.contract import (
    RUNTIMES,
    DeviceRequest,
    RequestEntrant,
    RequestFile,
    RequestSlot,
)
from lolvit_benchmarks.harness.inputs import open_photo, prepare_input
from lolvit_runtimes.session import open_session

# One run a runtime, so that a test finds its request by the name.
RUNS = {"litert": "0123456789abcdef", "ort": "fedcba9876543210"}


@dataclass(frozen=True)
class Entrant:
    """A packaged model as the harness hands it to the app, and Python's logits."""

    request: RequestEntrant
    logits: np.ndarray


def write_requests(folder: Path, models: list[Path]) -> None:
    """Write `RUN.request.json` for each runtime, and the files that they name, as the harness puts
    them into the app's folder `bench`."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "files").mkdir(parents=True)
    for runtime, run in RUNS.items():
        request = request_of(folder / "files", runtime, models)
        (folder / f"{run}.request.json").write_text(request.model_dump_json(indent=1))


def request_of(files: Path, runtime: str, models: list[Path]) -> DeviceRequest:
    """Return a request that measures all models, their files put into `files`."""
    found = packaged_artifacts(runtime, models)
    entrants = tuple(entrant_of(files, model, artifact).request for model, artifact in found)
    there = [RequestSlot(entrant=e.name, settling=1, burst=n + 2) for n, e in enumerate(entrants)]
    return DeviceRequest(
        runtime=runtime,
        threads=1,
        entrants=entrants,
        warm_up_runs=2,
        warm_up_s=0.05,
        slots=(*there, *reversed(there)),
    )


def packaged_artifacts(runtime: str, models: list[Path]) -> Iterator[tuple[Path, Artifact]]:
    """Give each model's folder that has an fp32 artifact for a runtime, with that."""
    for model in models:
        artifact = read_manifest(model).find(RUNTIMES[runtime], "fp32")
        if artifact is not None:
            yield model, artifact


def entrant_of(files: Path, model: Path, artifact: Artifact) -> Entrant:
    """Put an artifact and its input into `files`; return what is asked of it."""
    path = check_artifact(model, artifact)
    image = prepare_input(open_photo(None), read_manifest(model).preprocessing, artifact)
    data = image.astype("<f4").tobytes()
    request = RequestEntrant(
        name=model.name,
        artifact=_file(files, path.suffix, path.read_bytes()),
        format=artifact.format,  # type: ignore[arg-type]
        input=_file(files, ".bin", data),
        shape=image.shape,
        dtype="float32",
    )
    runtime = next(name for name, format in RUNTIMES.items() if format == artifact.format)
    session = open_session(runtime, path, artifact)
    outputs = session.run({artifact.image.name: image})
    logits = np.ravel(outputs[artifact.outputs[0].name]).astype(np.float32, copy=False)
    session.close()
    return Entrant(request, logits)


def _file(files: Path, suffix: str, content: bytes) -> RequestFile:
    digest = hashlib.sha256(content).hexdigest()
    path = files / f"{digest}{suffix}"
    path.write_bytes(content)
    return RequestFile(name=path.name, sha256=sha256_of(path), bytes=size_of(path))
