"""The contract between the harness and the app on a phone (docs/android-benchmark.md), as types.

The app records durations; all statistics are computed by the harness. Harness and app of one
version of lolvit use one version of the contract; both reject files of another.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lolvit.files import write_atomic
from lolvit.manifest import Sha256

VERSION: Final = 2
PACKAGE: Final = "org.lolvit.demo"
# The app's folder for artifacts and requests; the harness removes it at the end.
APP_FOLDER: Final = rf"(/[A-Za-z0-9_-]+){{1,4}}/Android/data/{re.escape(PACKAGE)}/files/bench"
INSTRUMENTATION: Final = f"{PACKAGE}/.BenchmarkInstrumentation"
RUNTIMES: Final[dict[str, str]] = {"litert": "tflite", "ort": "onnx"}
SCHEMAS: Final = Path(__file__).parents[2] / "results" / "schema"

Nanoseconds = Annotated[int, Field(gt=0)]
FileName = Annotated[str, Field(pattern=r"^[0-9a-f]{64}(\.[a-z]+)?$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DeviceFacts(_Frozen):
    """The answer to the action `prepare`: version, runtimes, and the folder that the app made."""

    schema_version: Literal[2]
    kind: Literal["lolvit-device-facts"]
    app_version: str
    folder: str = Field(
        pattern=rf"^{APP_FOLDER}$", description="for artifacts, inputs and requests"
    )
    runtimes: dict[str, str] = Field(description="version of each runtime")


class RequestFile(_Frozen):
    """A file in the app's folder `files`, named by its sha256."""

    name: FileName
    sha256: Sha256
    bytes: int = Field(ge=0)


class RequestCandidate(_Frozen):
    """One artifact to be timed, and its input: raw little-endian values of `dtype` in `shape`, in
    the artifact's layout."""

    name: str = Field(description="unique in the request")
    artifact: RequestFile
    format: Literal["onnx", "tflite"]
    input: RequestFile
    shape: tuple[int, ...]
    dtype: Literal["float32", "float16", "uint8", "int8"]


class RequestSlot(_Frozen):
    """Consecutive runs of one candidate: warm-up runs that are not recorded, then `burst` recorded
    ones."""

    candidate: str
    warm_up_runs: int = Field(ge=0)
    burst: int = Field(gt=0)


class DeviceRequest(_Frozen):
    """One block: open every candidate, warm each up, then run the slots in order."""

    schema_version: Literal[2] = VERSION
    kind: Literal["lolvit-device-request"] = "lolvit-device-request"
    runtime: str
    threads: int = Field(gt=0)
    candidates: tuple[RequestCandidate, ...]
    warm_up_runs: int = Field(gt=0, description="of each candidate, at least")
    warm_up_s: float = Field(ge=0, description="of each candidate, at least")
    slots: tuple[RequestSlot, ...]


class RecordedCandidate(_Frozen):
    """Measurements of one artifact; fields that the result schema has too have the same meaning."""

    name: str
    artifact_sha256: Sha256 = Field(description="of the file that the app opened")
    load_ms: float = Field(gt=0)
    first_ms: float = Field(gt=0)
    run_ms: float = Field(gt=0, description="median of the later half of the warm-up")
    peak_memory_bytes: int | None = Field(default=None, ge=0)
    placement: dict[str, int] = {}
    options: dict[str, str] = {}
    logits: tuple[float, ...] = Field(description="of the last run on the input")


class RecordedSlot(_Frozen):
    """The recorded runs of one slot, in order."""

    candidate: str
    durations_ns: tuple[Nanoseconds, ...]


class DeviceRecording(_Frozen):
    """The answer to the action `run`."""

    schema_version: Literal[2]
    kind: Literal["lolvit-device-recording"]
    request_sha256: Sha256 = Field(description="of the request that is answered")
    runtime_version: str
    app_version: str
    cpuset: str | None = Field(default=None, description="/proc/self/cpuset while it ran")
    candidates: tuple[RecordedCandidate, ...]
    slots: tuple[RecordedSlot, ...]

    @model_validator(mode="after")
    def _unique_names(self) -> DeviceRecording:
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) != len(names):
            raise ValueError("two candidates have the same name")
        return self

    def candidate(self, name: str) -> RecordedCandidate:
        """Return the measurements of one candidate by its name in the request."""
        return next(candidate for candidate in self.candidates if candidate.name == name)


def find_mismatch(recording: DeviceRecording, request: DeviceRequest, digest: str) -> str | None:
    """Return how a recording differs from its request (`digest` is the request's sha256), or None
    if it is the answer to it."""
    if recording.request_sha256 != digest:
        return "is the answer to another request"
    requested = {candidate.name: candidate.artifact.sha256 for candidate in request.candidates}
    if {
        candidate.name: candidate.artifact_sha256 for candidate in recording.candidates
    } != requested:
        return "is of other artifacts than those requested"
    if [(slot.candidate, slot.burst) for slot in request.slots] != [
        (slot.candidate, len(slot.durations_ns)) for slot in recording.slots
    ]:
        return "has other runs than those requested"
    return None


def schema_text(model: type[BaseModel]) -> str:
    """Return a type's JSON Schema as indented JSON."""
    schema = model.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


PUBLISHED: Final[dict[Path, type[BaseModel]]] = {
    SCHEMAS / "device-facts-2.json": DeviceFacts,
    SCHEMAS / "device-request-2.json": DeviceRequest,
    SCHEMAS / "device-recording-2.json": DeviceRecording,
}

if __name__ == "__main__":
    for path, model in PUBLISHED.items():
        write_atomic(path, schema_text(model))
