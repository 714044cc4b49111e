"""What the harness asks of the app on a phone, and what the app answers: docs/android-benchmark.md
in types. The phone gives what it has measured; statistics and verdicts are made here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lolvit.files import write_atomic
from lolvit.manifest import Sha256

VERSION: Final = 1
PACKAGE: Final = "org.lolvit.demo"
# Where the app keeps what it is given: the harness removes this folder at the end.
APP_FOLDER: Final = rf"(/[A-Za-z0-9_-]+){{1,4}}/Android/data/{re.escape(PACKAGE)}/files/bench"
INSTRUMENTATION: Final = f"{PACKAGE}/.BenchmarkInstrumentation"
RUNTIMES: Final[dict[str, str]] = {"litert": "tflite", "ort": "onnx"}
SCHEMAS: Final = Path(__file__).parents[2] / "results" / "schema"

Nanoseconds = Annotated[int, Field(gt=0)]
FileName = Annotated[str, Field(pattern=r"^[0-9a-f]{64}(\.[a-z]+)?$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Facts(_Frozen):
    """The answer to the action `prepare`: what the app has, and the folder that it made."""

    schema_version: Literal[1]
    kind: Literal["lolvit-device-facts"]
    app_version: str
    folder: str = Field(pattern=rf"^{APP_FOLDER}$", description="where files are put")
    runtimes: dict[str, str] = Field(description="the runtimes that it brings, with versions")


class RequestFile(_Frozen):
    """A file in the app's folder `files`, named by its own sha256."""

    name: FileName
    sha256: Sha256
    bytes: int = Field(ge=0)


class RequestEntrant(_Frozen):
    """One artifact to be timed, and the input that it is timed on: raw little-endian values of
    `dtype` in `shape`, as the artifact takes them."""

    name: str = Field(description="tells it from the others")
    artifact: RequestFile
    format: Literal["onnx", "tflite"]
    input: RequestFile
    shape: tuple[int, ...]
    dtype: Literal["float32", "float16", "uint8", "int8"]


class RequestSlot(_Frozen):
    """Runs of one entrant without a pause: the first `settling` are not recorded."""

    entrant: str
    settling: int = Field(ge=0)
    burst: int = Field(gt=0)


class DeviceRequest(_Frozen):
    """One block: open every entrant, warm each up, then go through the slots in their order."""

    schema_version: Literal[1] = VERSION
    kind: Literal["lolvit-device-request"] = "lolvit-device-request"
    runtime: str
    threads: int = Field(gt=0)
    entrants: tuple[RequestEntrant, ...]
    warm_up_runs: int = Field(gt=0, description="of each entrant, at least")
    warm_up_s: float = Field(ge=0, description="of each entrant, at least")
    slots: tuple[RequestSlot, ...]


class RecordedEntrant(_Frozen):
    """What was seen of one artifact; fields of the result schema mean here what they mean there."""

    name: str
    artifact_sha256: Sha256 = Field(description="of the file that was opened, by the app")
    load_ms: float = Field(gt=0)
    first_ms: float = Field(gt=0)
    run_ms: float = Field(gt=0, description="median of the later half of the warm-up")
    peak_memory_bytes: int | None = Field(default=None, ge=0)
    placement: dict[str, int] = {}
    options: dict[str, str] = {}
    logits: tuple[float, ...] = Field(description="of the last run on the input")


class RecordedSlot(_Frozen):
    """The recorded runs of one slot, in the order they were made."""

    entrant: str
    durations_ns: tuple[Nanoseconds, ...]


class DeviceRecording(_Frozen):
    """The answer to the action `run`."""

    schema_version: Literal[1]
    kind: Literal["lolvit-device-recording"]
    request_sha256: Sha256 = Field(description="of the request that is answered")
    runtime_version: str
    app_version: str
    cpuset: str | None = Field(default=None, description="/proc/self/cpuset while it ran")
    entrants: tuple[RecordedEntrant, ...]
    slots: tuple[RecordedSlot, ...]

    @model_validator(mode="after")
    def _names_once(self) -> DeviceRecording:
        names = [entrant.name for entrant in self.entrants]
        if len(set(names)) != len(names):
            raise ValueError("two entrants of one name")
        return self

    def entrant(self, name: str) -> RecordedEntrant:
        """Return what was seen of one entrant, which an answered request has."""
        return next(entrant for entrant in self.entrants if entrant.name == name)


def why_not_answer(recording: DeviceRecording, request: DeviceRequest, digest: str) -> str | None:
    """Return in what a recording differs from what was asked for, or None: it is the answer."""
    if recording.request_sha256 != digest:
        return "is the answer to another request"
    asked = {entrant.name: entrant.artifact.sha256 for entrant in request.entrants}
    if {entrant.name: entrant.artifact_sha256 for entrant in recording.entrants} != asked:
        return "is of other artifacts than those asked for"
    if [(slot.entrant, slot.burst) for slot in request.slots] != [
        (slot.entrant, len(slot.durations_ns)) for slot in recording.slots
    ]:
        return "has other runs than those asked for"
    return None


def schema_text(model: type[BaseModel]) -> str:
    """Return a type's JSON Schema as indented JSON."""
    schema = model.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


PUBLISHED: Final[dict[Path, type[BaseModel]]] = {
    SCHEMAS / "device-facts-1.json": Facts,
    SCHEMAS / "device-request-1.json": DeviceRequest,
    SCHEMAS / "device-recording-1.json": DeviceRecording,
}

if __name__ == "__main__":
    for path, model in PUBLISHED.items():
        write_atomic(path, schema_text(model))
