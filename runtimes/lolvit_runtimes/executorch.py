"""ExecuTorch on the CPU, with XNNPACK.

Its Python binding takes torch tensors and needs torch's libraries loaded first; torch computes
nothing here. The binding is imported by itself: the modules around it bring the whole exporter,
eight seconds of imports. An image crosses in 0.7 µs (`from_numpy` shares its memory), the logits
are copied in 1.6 µs.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_runtimes.flatbuffer import FlatbufferError
from lolvit_runtimes.native import (
    Found,
    expect_inputs,
    expect_tensors,
    native_path,
    opening,
    quiet_stderr,
    reason,
)
from lolvit_runtimes.pte import METHOD, placement_of
from lolvit_runtimes.session import Array

with quiet_stderr():  # creating the thread pool prints warnings about files that only phones have
    from executorch.extension.pybindings import _C as binding

    binding._threadpool_get_thread_count()

RUNTIME_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError)
_ELEMENT_TYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32",
    7: "float64", 11: "bool",
}  # fmt: skip  # enum ScalarType
_open: weakref.WeakSet[ExecuTorchSession] = weakref.WeakSet()


class ExecuTorchSession:
    """An ExecuTorch program, its XNNPACK delegates included."""

    runtime = "executorch"
    version = version("executorch")

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the program and let XNNPACK pack its weights.

        Raises:
            DeviceError: ExecuTorch can't load it, its tensors do not match the manifest, or a
                session with another number of threads is open in this process.
        """
        self._path, self._threads = path, threads
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        _set_threads(threads, path)
        with opening("ExecuTorch", path, RUNTIME_ERRORS):
            # The program's memory must outlive the method's.
            self._program = binding._load_program(
                native_path(path), program_verification=binding.Verification.InternalConsistency
            )
            self._method = self._program.load_method(METHOD)
            about = self._program.method_meta(METHOD)
            inputs = [about.input_tensor_meta(i) for i in range(about.num_inputs())]
            outputs = [about.output_tensor_meta(i) for i in range(about.num_outputs())]
        expect_tensors(path, "input", artifact.inputs, _described(inputs, artifact.inputs))
        expect_tensors(path, "output", artifact.outputs, _described(outputs, artifact.outputs))
        _open.add(self)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or ExecuTorch failed.
        """
        expect_inputs(inputs, self._inputs)
        given = [torch.from_numpy(inputs[spec.name]) for spec in self._inputs]
        try:
            results = self._method(given, clone_outputs=False)
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"ExecuTorch failed: {reason(error)}") from error
        return {
            spec.name: result.numpy().copy()
            for spec, result in zip(self._outputs, results, strict=True)
        }

    def placement(self) -> dict[str, int]:
        """Return the number of operations in the XNNPACK delegate and outside of it, as the file
        records them.

        Raises:
            DeviceError: the file can't be read.
        """
        try:
            return placement_of(self._path.read_bytes())
        except (OSError, FlatbufferError) as error:
            raise DeviceError(f"cannot be read: {reason(error)}", where=str(self._path)) from error

    def options(self) -> dict[str, str]:
        """Return the delegate and the number of threads that the pool has."""
        return {"delegate": "XNNPACK", "threads": str(binding._threadpool_get_thread_count())}

    def close(self) -> None:
        """Free the program."""
        _open.discard(self)
        del self._method, self._program


def _described(tensors: Sequence[Any], specs: Sequence[TensorSpec]) -> list[Found]:
    """Return name, shape and element type of each tensor. A program has no names: those of the
    manifest are used, in its order."""
    names = [spec.name for spec in specs] + [str(i) for i in range(len(specs), len(tensors))]
    return [
        (
            name,
            tuple(tensor.sizes()),
            _ELEMENT_TYPES.get(tensor.dtype(), f"scalar type {tensor.dtype()}"),
        )
        for name, tensor in zip(names, tensors, strict=False)
    ]


def _set_threads(threads: int, path: Path) -> None:
    """Set the size of the process's only thread pool.

    The XNNPACK delegate of an open program keeps a pointer to its pool: if the pool is replaced,
    its next run hangs.

    Raises:
        DeviceError: a session is open with another number of threads, or ExecuTorch did not set the
            number.
    """
    if binding._threadpool_get_thread_count() == threads:
        return
    if _open:
        raise DeviceError(
            f"asks for {threads} threads, but ExecuTorch has one thread pool per process, and an"
            f" open session uses it with {binding._threadpool_get_thread_count()}",
            where=str(path),
            remedy="close that session first, or open both with the same number of threads",
        )
    with quiet_stderr():
        binding._unsafe_reset_threadpool(threads)
    if (found := binding._threadpool_get_thread_count()) != threads:
        raise DeviceError(f"ExecuTorch set {found} threads, not {threads}", where=str(path))
