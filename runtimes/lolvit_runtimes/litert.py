"""LiteRT on the CPU, with XNNPACK."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options
from ai_edge_litert.environment import Environment
from ai_edge_litert.interpreter import Interpreter

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import (
    discard_stderr,
    expect_inputs,
    expect_tensors,
    native_path,
    opening,
    reason,
)
from lolvit_runtimes.session import Array

# When the process ends, LiteRT prints a line for each accelerator that it unloads; no option
# disables it. By then nothing else is written to stderr.
atexit.register(discard_stderr)

RUNTIME_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError)
DELEGATED, NOT_DELEGATED = "XNNPACK", "LiteRT kernels"
_SIGNATURE = 0


class LiteRTSession:
    """A TFLite artifact in LiteRT's CompiledModel, on the CPU.

    CompiledModel is LiteRT's current interface. The older Interpreter, which delegates to the same
    XNNPACK, was measured beside it, interleaved, on MobileNetV4 at 224x224: 4.17 and 4.14 ms with
    one thread, 2.19 and 2.19 ms with two, and bit-equal outputs.
    """

    runtime = "litert"
    version = version("ai-edge-litert")

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load and compile the artifact for XNNPACK, and create the input and output buffers.

        Raises:
            DeviceError: LiteRT can't open it, or its tensors do not match the manifest.
        """
        self._path, self._threads = path, threads
        with opening("LiteRT", path, RUNTIME_ERRORS):
            self._model = self._open(path, artifact, threads)
            order = self._check_tensors(artifact)
            # In the order of the file's signature, which may not be the manifest's.
            by_name = {spec.name: spec for spec in artifact.inputs}
            self._specs = [by_name[name] for name in order["inputs"]]
            self._reads = [
                (
                    spec.name,
                    order["outputs"].index(spec.name),
                    int(np.prod(spec.shape)),
                    np.dtype(spec.dtype),
                    spec.shape,
                )
                for spec in artifact.outputs
            ]
            self._inputs = self._model.create_input_buffers(_SIGNATURE)
            self._outputs = self._model.create_output_buffers(_SIGNATURE)
            # LiteRT's first run in a process creates another environment, and prints messages.
            self.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in self._specs})

    def _open(self, path: Path, artifact: Artifact, threads: int) -> CompiledModel:
        return CompiledModel.from_file(
            native_path(path), environment=shared_environment(), options=_options(threads)
        )

    def _check_tensors(self, artifact: Artifact) -> dict[str, list[str]]:
        """Return the names of the file's signature, in the order of its buffers."""
        signature = next(iter(self._model.get_signature_list().items()), None)
        if signature is None:
            raise DeviceError(
                "it has no signature", where=str(self._path), remedy="export it again"
            )
        key: str = signature[0]
        names: dict[str, list[str]] = signature[1]
        for what, specs, tensors in (
            ("input", artifact.inputs, self._model.get_input_tensor_details(key)),
            ("output", artifact.outputs, self._model.get_output_tensor_details(key)),
        ):
            found = [(name, each["shape"], each["dtype"]) for name, each in tensors.items()]
            expect_tensors(self._path, what, specs, found)
        return names

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or LiteRT failed.
        """
        expect_inputs(inputs, self._specs)
        try:
            for spec, buffer in zip(self._specs, self._inputs, strict=True):
                buffer.write(inputs[spec.name])
            self._model.run_by_index(_SIGNATURE, self._inputs, self._outputs)
            return {
                name: self._outputs[index].read(count, dtype).reshape(shape)
                for name, index, count, dtype, shape in self._reads
            }
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"LiteRT failed: {reason(error)}") from error

    def placement(self) -> dict[str, int]:
        """Return the number of operations in the XNNPACK delegate and outside of it.

        CompiledModel reports only whether all are delegated, so they are counted in an Interpreter
        with the same delegate; the result is empty if the two disagree.

        Raises:
            DeviceError: LiteRT can't open or describe it.
        """
        with opening("LiteRT", self._path, RUNTIME_ERRORS):
            interpreter = Interpreter(str(self._path), num_threads=self._threads)
            interpreter.allocate_tensors()
            counts = count_delegated(interpreter._get_ops_details())
        all_delegated = NOT_DELEGATED not in counts
        return counts if all_delegated == self._model.is_fully_accelerated() else {}

    def options(self) -> dict[str, str]:
        """Return the accelerator, its delegate and the number of threads."""
        return {"accelerator": "CPU", "delegate": "XNNPACK", "threads": str(self._threads)}

    def close(self) -> None:
        """Free the buffers and the model."""
        del self._inputs, self._outputs, self._model


@functools.cache
def shared_environment() -> Environment:
    """Return the environment of all sessions in this process; creating one loads every
    accelerator."""
    return Environment.create()


def _options(threads: int) -> Options:
    return Options(
        hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads)
    )


def count_delegated(operations: list[dict[str, Any]]) -> dict[str, int]:
    """Count the operations inside and outside of delegates, from an interpreter's operation list.

    The list has each replaced operation and the DELEGATE that replaced it, without a link between
    them. A delegate's operations are those between its outputs and its inputs.
    """
    originals = [op for op in operations if op["op_name"] != "DELEGATE"]
    producer = {int(tensor): op["index"] for op in originals for tensor in op["outputs"]}
    delegated: set[int] = set()
    for delegate in (op for op in operations if op["op_name"] == "DELEGATE"):
        delegated |= _operations_of(delegate, producer, {op["index"]: op for op in originals})
    counts = {DELEGATED: len(delegated), NOT_DELEGATED: len(originals) - len(delegated)}
    return {kernels: count for kernels, count in counts.items() if count}


def _operations_of(
    delegate: dict[str, Any], producer: dict[int, int], by_index: dict[int, dict[str, Any]]
) -> set[int]:
    """Return the operations on the paths from a delegate's outputs back to its inputs."""
    boundary = {int(tensor) for tensor in delegate["inputs"]}
    waiting = [int(tensor) for tensor in delegate["outputs"]]
    found: set[int] = set()
    while waiting:
        index = producer.get(waiting.pop())
        if index is None or index in found:
            continue
        found.add(index)
        waiting += [int(t) for t in by_index[index]["inputs"] if int(t) not in boundary]
    return found
