"""Profiling the operations of models, each in a process of its own: profiling slows a session, so
that the one which is timed is never profiled.

Run as a module it prints what the runtime's profiler recorded as one JSON document.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.errors import LolvitError
from lolvit.manifest import Artifact, check_artifact, read_manifest
from lolvit_benchmarks.harness.child import answer, run_on_image
from lolvit_benchmarks.harness.system_monitor import Machine, pinned
from lolvit_benchmarks.profiling.operations import Recorded, macs_notes, summarise
from lolvit_benchmarks.profiling.roofline import measure_roofline
from lolvit_benchmarks.results.document import OperationProfile, Roofline
from lolvit_runtimes.session import FloatArray
from lolvit_runtimes.table import require_runtime

# runtime: its function (path, threads, image) -> Recorded
PROFILERS = {
    "ort": "lolvit_benchmarks.profiling.ort:profile",
    "openvino": "lolvit_benchmarks.profiling.openvino:profile",
}


@dataclass
class Profiles:
    """The profiles of the models of one benchmark case, and notes on them for the reader."""

    roofline: Roofline | None = None
    recorded: dict[str, Recorded] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, name: str, median_ms: float) -> OperationProfile | None:
        """Return a model's profile; `median_ms` is that of its runs without profiling."""
        if self.roofline is None or name not in self.recorded:
            return None
        return summarise(self.recorded[name], median_ms, self.roofline.gmacs_per_s)


@dataclass(frozen=True)
class Profiled:
    """A model to be profiled, the image in its artifact's own layout, and its multiply-adds by its
    manifest."""

    name: str
    folder: Path
    artifact: Artifact
    image: FloatArray
    macs: int


def collect(
    runtime: str, threads: int, models: Sequence[Profiled], say: Callable[[str], None]
) -> Profiles:
    """Profile each model in a runtime, and measure the roofline there. What fails, or is not
    reported, is in the notes: the measurement is done by now, and stands."""
    found = Profiles()
    if runtime not in PROFILERS:
        found.notes.append(
            f"No profile: {runtime} does not report the time of single operations here."
        )
        return found
    try:
        say(f"{runtime}: measuring the roofline")
        found.roofline = measure_roofline(runtime, threads)
        for one in models:
            say(f"{runtime}: profiling {one.name}")
            recorded = record(runtime, one.folder, one.artifact, threads, one.image)
            if not any(operation.ms for operation in recorded.operations):
                found.notes.append(f"No profile of {one.name}: too short for {runtime}'s clock.")
                continue
            found.recorded[one.name] = recorded
            found.notes += macs_notes(one.name, recorded, one.macs)
    except LolvitError as error:
        found.notes.append(f"No whole profile: {error.line()}")
    return found


def record(
    runtime: str, folder: Path, artifact: Artifact, threads: int, image: FloatArray
) -> Recorded:
    """Profile an artifact in a child process; `image` is an input in the artifact's own layout.

    Raises:
        LolvitError: the child failed, with its own line and exit code.
        DeviceError: the runtime crashed.
    """
    document = run_on_image(
        "lolvit_benchmarks.profiling.worker",
        runtime,
        folder,
        artifact,
        threads,
        image,
        what=f"profile of {artifact.path} in {runtime}",
    )
    return Recorded.model_validate(document)


def record_here(runtime: str, folder: Path, name: str, threads: int, image: FloatArray) -> Recorded:
    """Profile an artifact in this process.

    Raises:
        LolvitError: the artifact is not what its manifest says, or the runtime can't open it.
    """
    artifact = next(a for a in read_manifest(folder).artifacts if a.path == name)
    path = check_artifact(folder, artifact)
    require_runtime(runtime)
    module, _, function = PROFILERS[runtime].partition(":")
    with pinned(threads, Machine()):
        found: Recorded = getattr(importlib.import_module(module), function)(path, threads, image)
    return found


def _document(arguments: list[str]) -> dict[str, Any]:
    runtime, folder, name, threads, image = arguments
    return record_here(runtime, Path(folder), name, int(threads), np.load(image)).model_dump()


if __name__ == "__main__":
    sys.exit(answer(lambda: _document(sys.argv[1:])))
