"""Inspection of an artifact in a runtime, in a process of its own, before it is timed: load time,
first inference, memory, placement of operations, and whether activations are denormal.

Run as a module it prints one JSON document. That process has opened nothing else, so its figures
are the artifact's own; and a runtime that crashes on the artifact takes this process down, not the
one that measures.

Random weights with uncalibrated normalization drive activations below the smallest normal float,
where processors are tens of times slower, and a ratio against such a model is false. The measuring
process has no PyTorch model, so every intermediate float32 tensor of the artifact itself is read,
in a run on the photo that is timed.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lolvit.denormals import denormal_share
from lolvit.errors import UserError
from lolvit.manifest import Artifact, check_artifact, read_manifest
from lolvit_benchmarks.analysis.quality import DEFAULT_LIMITS
from lolvit_benchmarks.harness.child import answer, run_on_image
from lolvit_benchmarks.harness.system_monitor import Machine, pinned, read_text
from lolvit_runtimes.session import Array, FloatArray, Session, open_session
from lolvit_runtimes.table import RUNTIMES, require_runtime

# Smaller tensors take no time, and one denormal value of theirs can exceed the largest share.
SMALLEST_TENSOR = 1024
_RUNS_FOR_MEMORY = 3

Activations = Callable[[Path, Array], Iterator[Array]]


def largest_denormal_share(activations: Iterator[Array]) -> float:
    """Return the largest share of denormal values in any tensor of at least 1,024 values; 1 where
    a tensor of any size holds NaN or infinity. Other types than float32 are ignored."""
    return max((_share(tensor) for tensor in activations), default=0.0)


def _share(tensor: Array) -> float:
    if tensor.dtype != np.float32:
        return 0.0
    values = tensor.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        return 1.0
    if values.size < SMALLEST_TENSOR:
        return 0.0
    return denormal_share(values)


def share_of_artifact(path: Path, format: str, image: Array) -> float | None:
    """Return the largest share of denormal values in any tensor of a run on `image`, or None for a
    format whose intermediate tensors can't be read here."""
    read = _READERS.get(format)
    return largest_denormal_share(read(path, image)) if read is not None else None


def check_denormals(share: float | None, where: str) -> None:
    """Raise where a share is too large for a timing to mean anything.

    Raises:
        UserError: it is over 0.1 %.
    """
    if share is not None and share > DEFAULT_LIMITS.denormal_share:
        raise UserError(
            f"{share:.1%} of a layer's activations are denormal or not finite, so that its timing "
            "would mean nothing",
            where=where,
            remedy="export it with trained weights, or without --weights so that it is calibrated",
        )


def _onnx_activations(path: Path, image: Array) -> Iterator[Array]:
    """Run a copy of the graph, unoptimised, of which every tensor is an output."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    have = {output.name for output in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in have)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    yield from session.run(None, {session.get_inputs()[0].name: image})


def _tflite_activations(path: Path, image: Array) -> Iterator[Array]:
    """Run LiteRT's own kernels, without XNNPACK, whose tensors can't be read."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    made = {int(i) for op in interpreter._get_ops_details() for i in op["outputs"] if i >= 0}
    yield from (interpreter.get_tensor(index) for index in sorted(made))


_READERS: dict[str, Activations] = {"onnx": _onnx_activations, "tflite": _tflite_activations}


class Inspection(BaseModel):
    """The figures of an artifact in a runtime; None is what this system or runtime can't report."""

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


def inspect_artifact(
    runtime: str, folder: Path, artifact: Artifact, threads: int, image: FloatArray
) -> Inspection:
    """Inspect an artifact in a child process; `image` is an input in the artifact's own layout.

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
    return Inspection.model_validate(document)


def inspect_here(
    runtime: str, folder: Path, artifact: Artifact, threads: int, image: FloatArray
) -> Inspection:
    """Inspect an artifact in this process, which should have opened no other.

    Raises:
        LolvitError: the artifact is not what its manifest says, or the runtime can't open it.
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
) -> Inspection:
    before, start, loaded, first = marks
    for _ in range(_RUNS_FOR_MEMORY):
        session.run(inputs)
    peak = _memory("VmHWM")  # before anything below adds to it
    return Inspection(
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
    return inspect_here(runtime, Path(folder), artifact, int(threads), np.load(image)).model_dump()


if __name__ == "__main__":
    sys.exit(answer(lambda: _document(sys.argv[1:])))
