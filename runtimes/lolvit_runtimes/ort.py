"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_inputs, expect_tensors, native_path, opening, reason
from lolvit_runtimes.session import Array

PROVIDER = "CPUExecutionProvider"
# ONNX Runtime's own exceptions have no common base; C++ exceptions arrive as Python's.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    MemoryError,
    *(
        kind
        for kind in vars(ort_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
Tensor = tuple[str, str, list[int | str | None]]  # name, element type, shape
_FATAL_ONLY = 4
_ELEMENT_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(double)": "float64",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OrtSession:
    """An ONNX artifact in ONNX Runtime, on its CPU provider alone.

    Inputs are passed to `run` without IOBinding: both have the same latency on the CPU (4.01 and
    4.02 ms), and applications use `run`. Threads spin between runs, ONNX Runtime's default: after a
    run with several threads, another session that is timed in turn loses a core for a moment.
    """

    runtime = "ort"
    version = onnxruntime.__version__
    library: ClassVar[str] = "ONNX Runtime"  # in messages

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact and apply every graph optimisation.

        Raises:
            DeviceError: ONNX Runtime can't open it, or its tensors do not match the manifest.
        """
        self._threads = threads
        with opening(self.library, path, RUNTIME_ERRORS):
            self._session = onnxruntime.InferenceSession(
                native_path(path), session_options(threads), providers=[PROVIDER]
            )
        expect_onnx(path, self._session, artifact)
        self._inputs, self._names = artifact.inputs, [spec.name for spec in artifact.outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or the runtime failed.
        """
        expect_inputs(inputs, self._inputs)
        try:
            results = self._session.run(self._names, dict(inputs))
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"{self.library} failed: {reason(error)}") from error
        return dict(zip(self._names, results, strict=True))

    def placement(self) -> dict[str, int]:
        """Return the number of nodes by execution provider, as the partitioner assigned them."""
        counts: Counter[str] = Counter()
        for part in self._session.get_provider_graph_assignment_info():
            counts[part.ep_name] += len(part.get_nodes())
        return dict(counts)

    def options(self) -> dict[str, str]:
        """Return the session options that affect latency."""
        return {
            "provider": PROVIDER,
            "threads": str(self._threads),
            "inter_op_threads": "1",
            "execution_mode": "sequential",
            "graph_optimization": "all",
            "spinning": "default",
        }

    def close(self) -> None:
        """Free the session."""
        del self._session


def expect_onnx(path: Path, session: onnxruntime.InferenceSession, artifact: Artifact) -> None:
    """Check that a session's inputs and outputs match the artifact's manifest; a free batch, the
    first axis, matches any.

    Raises:
        DeviceError: they do not.
    """
    batch = artifact.image.batch
    for what, specs, nodes in (
        ("input", artifact.inputs, session.get_inputs()),
        ("output", artifact.outputs, session.get_outputs()),
    ):
        found = [
            (node.name, _with_batch(node.shape, batch), element_type(node.type)) for node in nodes
        ]
        expect_tensors(path, what, specs, found)


def _with_batch(shape: list[int | str | None], batch: int) -> list[int | str | None]:
    """Return a shape with its first axis, if that is free, of the extent `batch`."""
    return [batch, *shape[1:]] if shape and not isinstance(shape[0], int) else shape


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the session options, equal for candidate and baseline."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def interface(path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Return name, element type and shape of each input and output of an ONNX file.

    Raises:
        DeviceError: ONNX Runtime can't open it.
    """
    options = session_options(threads=1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with opening("ONNX Runtime", path, RUNTIME_ERRORS):
        session = onnxruntime.InferenceSession(native_path(path), options, providers=[PROVIDER])
        inputs, outputs = (
            [(node.name, element_type(node.type), node.shape) for node in nodes]
            for nodes in (session.get_inputs(), session.get_outputs())
        )
    return inputs, outputs


def element_type(onnx_type: str) -> str:
    """Return the TensorSpec dtype of an ONNX type such as `tensor(float)`, or the type itself."""
    return _ELEMENT_TYPES.get(onnx_type, onnx_type)
