"""Checks the files that the app's benchmark tests wrote, by the harness's own types."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from android_build.benchmark_requests import RUNS, candidate_of, packaged_artifacts
from android_build.project import Build
from lolvit.errors import GateFailedError
from lolvit_benchmarks.backends.android.contract import (
    DeviceFacts,
    DeviceRecording,
    DeviceRequest,
    find_mismatch,
)
from lolvit_benchmarks.results.checks import read_checked_result

TOLERANCE = 1e-4  # of logits
_PHONE_FOLDER = "/storage/emulated/0/Android/data/org.lolvit.demo/files/bench"


def check_benchmark(build: Build) -> list[dict[str, object]]:
    """Read what the tests wrote into `bench`, and return the figures.

    Raises:
        GateFailedError: the harness rejects an answer, or its figures differ from Python's.
        UserError: a shared result is no result document.
        ValidationError: an answer is not of its schema.
    """
    left = build.directory / "bench"
    recordings = [run for run in RUNS.values() if (left / f"{run}.recording.json").is_file()]
    figures = [_recording(build, run) for run in recordings]
    if (left / "facts.json").is_file():
        figures.append(_facts(left / "facts.json"))
    if (left / "screen-result.json").is_file():
        figures.append(_result(left / "screen-result.json"))
    return figures


def _recording(build: Build, run: str) -> dict[str, object]:
    asked = (build.fixtures / "bench" / f"{run}.request.json").read_bytes()
    request = DeviceRequest.model_validate_json(asked)
    answer = (build.directory / "bench" / f"{run}.recording.json").read_bytes()
    recording = DeviceRecording.model_validate_json(answer)
    wrong = find_mismatch(recording, request, hashlib.sha256(asked).hexdigest())
    if wrong is not None:
        raise GateFailedError(f"the recording of {request.runtime} {wrong}")
    worst = _largest_difference(build, request.runtime, recording)
    if worst > TOLERANCE:
        raise GateFailedError(f"logits of {request.runtime} differ from Python's by {worst:g}")
    runs = sum(len(slot.durations_ns) for slot in recording.slots)
    return {
        "harness": "recording taken",
        "runtime": f"{request.runtime} {recording.runtime_version}",
        "runs": runs,
        "logits_differ_by": worst,
    }


def _largest_difference(build: Build, runtime: str, recording: DeviceRecording) -> float:
    models = sorted(path.parent for path in build.assets.glob("lolvit/*/manifest.json"))
    worst = 0.0
    for model, artifact in packaged_artifacts(runtime, models):
        expected = candidate_of(build.fixtures / "bench" / "files", model, artifact).logits
        got = np.asarray(recording.candidate(model.name).logits)
        worst = max(worst, float(np.abs(got - expected).max()))
    return worst


def _facts(path: Path) -> dict[str, object]:
    """Check the facts, with a phone's folder in place of the desktop's."""
    document = json.loads(path.read_bytes())
    facts = DeviceFacts.model_validate(document | {"folder": _PHONE_FOLDER})
    return {"harness": "facts taken", "runtimes": dict(facts.runtimes)}


def _result(path: Path) -> dict[str, object]:
    result = read_checked_result(path)
    return {
        "harness": "shared result opened",
        "runs": len(result.candidate.samples),
        "quality": result.quality.state,
    }
