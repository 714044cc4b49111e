"""One look at an artifact in a runtime, in a process of its own, before it is timed: what loading
and the first inference take, how much memory, what runs where, whether activations are denormal.

Run as a module it prints one JSON document. That process has opened nothing else, so its figures
are the artifact's own; and a runtime that crashes on the artifact takes this process down, not the
one that measures.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lolvit.manifest import Artifact, check_artifact, read_manifest
from lolvit_benchmarks.harness.child import answer, run_on_image
from lolvit_benchmarks.harness.denormals import share_of_artifact
from lolvit_benchmarks.harness.pinning import pinned
from lolvit_benchmarks.harness.sysfs import Machine, read_text
from lolvit_runtimes.session import Array, FloatArray, Session, open_session
from lolvit_runtimes.table import RUNTIMES, require_runtime

_RUNS_FOR_MEMORY = 3


class Preflight(BaseModel):
    """What was seen; None is what can't be seen on this system or with this runtime."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime_version: str
    load_ms: float | None = Field(description="opening the artifact, its library already imported")
    first_ms: float | None = Field(description="the first inference after that")
    peak_memory_bytes: int | None = Field(
        description="by how much opening and the first inferences raised the process's memory"
    )
    placement: dict[str, int] = Field(description="operations by where they run")
    options: dict[str, str] = Field(description="what the session was opened with")
    denormal_share: float | None = Field(
        description="largest share of denormal values in any intermediate tensor"
    )


def preflight(
    runtime: str, folder: Path, artifact: Artifact, threads: int, image: FloatArray
) -> Preflight:
    """Look at an artifact in a child process; `image` is an input in the artifact's own layout.

    Raises:
        LolvitError: the child failed, with its own line and exit code.
        DeviceError: the runtime crashed.
    """
    document = run_on_image(
        "lolvit_benchmarks.harness.inspection",
        runtime,
        folder,
        artifact,
        threads,
        image,
        what=f"{runtime} with {artifact.path}",
    )
    return Preflight.model_validate(document)


def look(
    runtime: str, folder: Path, artifact: Artifact, threads: int, image: FloatArray
) -> Preflight:
    """Look at an artifact in this process, which should have opened no other.

    Raises:
        LolvitError: the artifact is not what its manifest says, or the runtime refused it.
    """
    path = check_artifact(folder, artifact)
    require_runtime(runtime)
    importlib.import_module(RUNTIMES[runtime].session.partition(":")[0])
    with pinned(threads, Machine()):
        before = _reset_peak()
        start = time.perf_counter()
        session = open_session(runtime, path, artifact, threads=threads)
        loaded = time.perf_counter()
        inputs: dict[str, Array] = {artifact.image.name: image}
        session.run(inputs)
        first = time.perf_counter()
        return _rest_of(session, inputs, path, artifact.format, (before, start, loaded, first))


def _rest_of(
    session: Session,
    inputs: dict[str, Array],
    path: Path,
    format: str,
    marks: tuple[int | None, float, float, float],
) -> Preflight:
    before, start, loaded, first = marks
    for _ in range(_RUNS_FOR_MEMORY):
        session.run(inputs)
    peak = _memory("VmHWM")  # before anything below adds to it
    return Preflight(
        runtime_version=session.version,
        load_ms=(loaded - start) * 1e3,
        first_ms=(first - loaded) * 1e3,
        peak_memory_bytes=peak - before if peak is not None and before is not None else None,
        placement=session.placement(),
        options=session.options(),
        denormal_share=share_of_artifact(path, format, next(iter(inputs.values()))),
    )


def _reset_peak() -> int | None:
    """Set the process's peak memory back to what it uses now, and return that in bytes; None where
    the system can't."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _memory("VmRSS")


def _memory(field: str) -> int | None:
    """Return a figure of /proc/self/status in bytes."""
    for line in (read_text(Path("/proc/self/status")) or "").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def _document(arguments: list[str]) -> dict[str, Any]:
    runtime, folder, name, threads, image = arguments
    artifact = next(a for a in read_manifest(Path(folder)).artifacts if a.path == name)
    return look(runtime, Path(folder), artifact, int(threads), np.load(image)).model_dump()


if __name__ == "__main__":
    sys.exit(answer(lambda: _document(sys.argv[1:])))
