"""Requests as the harness makes them, as input for tests of the app's entry point."""

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
    RequestCandidate,
    RequestFile,
    RequestSlot,
)
from lolvit_benchmarks.harness.prepare import open_photo, prepare_input
from lolvit_runtimes.session import open_session

# One run a runtime, so that a test finds its request by the name.
RUNS = {"litert": "0123456789abcdef", "ort": "fedcba9876543210"}


@dataclass(frozen=True)
class Candidate:
    """A packaged model as the harness sends it to the app, and Python's logits."""

    request: RequestCandidate
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
    candidates = tuple(candidate_of(files, model, artifact).request for model, artifact in found)
    there = [
        RequestSlot(candidate=c.name, warm_up_runs=1, burst=n + 2) for n, c in enumerate(candidates)
    ]
    return DeviceRequest(
        runtime=runtime,
        threads=1,
        candidates=candidates,
        warm_up_runs=2,
        warm_up_s=0.05,
        slots=(*there, *reversed(there)),
    )


def packaged_artifacts(runtime: str, models: list[Path]) -> Iterator[tuple[Path, Artifact]]:
    """Yield each classifier's folder with its fp32 artifact for a runtime, if it has one."""
    for model in models:
        manifest = read_manifest(model)
        artifact = manifest.find(RUNTIMES[runtime], "fp32")
        if artifact is not None and manifest.task == "classification":
            yield model, artifact


def candidate_of(files: Path, model: Path, artifact: Artifact) -> Candidate:
    """Put an artifact and its input into `files`; return its part of a request."""
    path = check_artifact(model, artifact)
    image = prepare_input(open_photo(None), read_manifest(model).preprocessing, artifact)
    data = image.astype("<f4").tobytes()
    request = RequestCandidate(
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
    return Candidate(request, logits)


def _file(files: Path, suffix: str, content: bytes) -> RequestFile:
    digest = hashlib.sha256(content).hexdigest()
    path = files / f"{digest}{suffix}"
    path.write_bytes(content)
    return RequestFile(name=path.name, sha256=sha256_of(path), bytes=size_of(path))
