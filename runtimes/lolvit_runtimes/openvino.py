"""OpenVINO on the CPU: it opens the ONNX artifact as it is.

`import openvino` sends telemetry over the network if openvino-telemetry, its dependency, is
installed. The import of that package is blocked.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.block_imports import block_imports
from lolvit_runtimes.native import (
    Found,
    expect_inputs,
    expect_tensors,
    native_path,
    opening,
    reason,
)
from lolvit_runtimes.session import Array

with block_imports(("openvino_telemetry",)):
    import openvino as openvino  # re-exported for profiling

DEVICE = "CPU"
RUNTIME_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError, MemoryError)
_ELEMENT_TYPES = {
    "f32": "float32", "f16": "float16", "u8": "uint8", "i8": "int8", "f64": "float64",
    "i16": "int16", "i32": "int32", "i64": "int64", "boolean": "bool",
}  # fmt: skip
# Layers of the compiled model that hold or name data and compute nothing.
_NOT_OPERATIONS = frozenset({"Const", "Input", "Output"})


class OpenVinoSession:
    """An ONNX artifact in OpenVINO, on its CPU plugin.

    The plugin is set to float32, as every runtime here. Its default is bfloat16 on processors that
    support it, even if that is slower: on an EPYC with avx512_bf16, one thread,
    LOLViT-X took 4.6 ms in bfloat16, 4.4 in half precision and 3.0 in float32.
    """

    runtime = "openvino"
    version = openvino.__version__.partition("-")[0]

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load and compile the artifact.

        Raises:
            DeviceError: OpenVINO can't load it, or its tensors do not match the manifest.
        """
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        with opening("OpenVINO", path, RUNTIME_ERRORS):
            self._model = core().compile_model(native_path(path), DEVICE, settings(threads))
            self._request = self._model.create_infer_request()
            found = [_described(ports) for ports in (self._model.inputs, self._model.outputs)]
        expect_tensors(path, "input", artifact.inputs, found[0])
        expect_tensors(path, "output", artifact.outputs, found[1])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or OpenVINO failed.
        """
        expect_inputs(inputs, self._inputs)
        try:
            self._request.infer(dict(inputs), share_inputs=True)
            return {
                spec.name: np.array(self._request.get_tensor(spec.name).data, spec.dtype)
                for spec in self._outputs
            }
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"OpenVINO failed: {reason(error)}") from error

    def placement(self) -> dict[str, int]:
        """Return the number of layers of the compiled model by element type; all run on the CPU
        plugin, which chooses the precision."""
        counts: Counter[str] = Counter()
        for layer in self._model.get_runtime_model().get_ops():
            info = layer.get_rt_info()
            if info["layerType"].astype(str) not in _NOT_OPERATIONS:
                counts[f"{DEVICE} {info['runtimePrecision'].astype(str)}"] += 1
        return dict(counts)

    def options(self) -> dict[str, str]:
        """Return the settings as the plugin reports them."""
        reported = {name: self._model.get_property(name) for name in settings(1)}
        return {
            "device": DEVICE,
            "threads": str(reported["INFERENCE_NUM_THREADS"]),
            "streams": str(reported["NUM_STREAMS"]),
            "performance_hint": "latency",
            "inference_precision": reported["INFERENCE_PRECISION_HINT"].get_type_name(),
        }

    def close(self) -> None:
        """Free the compiled model."""
        del self._request, self._model


def _described(ports: Iterable[Any]) -> list[Found]:
    """Return name, shape and element type of each input or output."""
    kinds = [port.get_element_type().get_type_name() for port in ports]
    return [
        (port.get_any_name(), list(port.get_shape()), _ELEMENT_TYPES.get(kind, kind))
        for port, kind in zip(ports, kinds, strict=True)
    ]


@functools.cache
def core() -> openvino.Core:
    """Return the process's only Core, which keeps the CPU plugin alive.

    The plugin sets an alternate signal stack for the thread that creates it, and unmaps the stack
    when it is destroyed. If another thread destroys it (in a garbage collection, for example), the
    next signal that Python handles in the first thread kills the process. OpenVINO 2026.4.

    The plugin never uses more threads than the process had cores when the plugin was loaded, so it
    is loaded with every core: a benchmark keeps the process on one core and later gives it two.
    """
    found = openvino.Core()
    with _every_core():
        found.get_versions(DEVICE)  # loads the plugin
    return found


@contextmanager
def _every_core() -> Iterator[None]:
    """Let this thread run on all cores of the process, whichever it is kept to."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def settings(threads: int) -> dict[str, str | int]:
    """Return the plugin's settings, equal for candidate and baseline."""
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        # The benchmark harness pins threads; the plugin's pinning would move them to other cores.
        "ENABLE_CPU_PINNING": False,
        # The number of threads is the caller's, as in every runtime; without this setting there are
        # never more than the processor has physical cores.
        "ENABLE_HYPER_THREADING": True,
    }
