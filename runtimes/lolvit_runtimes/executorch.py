"""ExecuTorch on the CPU, with XNNPACK.

Its Python binding takes torch tensors and needs torch's libraries loaded first; torch computes
nothing here. The binding is imported by itself: the modules around it bring the whole exporter,
eight seconds of imports. An image crosses in 0.7 µs (`from_numpy` shares its memory), the logits
are copied in 1.6 µs.
"""

from __future__ import annotations

import weakref
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_runtimes.flatbuffer import FlatbufferError
from lolvit_runtimes.native import expect_image, expect_spec, opening, quiet_stderr, reason
from lolvit_runtimes.pte import METHOD, placement_of
from lolvit_runtimes.session import FloatArray

with quiet_stderr():  # its pool, once made, looks for files of phones and says which are missing
    from executorch.extension.pybindings import _C as binding

    binding._threadpool_get_thread_count()

REFUSALS: tuple[type[Exception], ...] = (RuntimeError, ValueError, MemoryError)
_ELEMENT_TYPES = {0: "uint8", 1: "int8", 5: "float16", 6: "float32"}  # enum ScalarType
_open: weakref.WeakSet[ExecuTorchSession] = weakref.WeakSet()


class ExecuTorchSession:
    """An ExecuTorch program, its XNNPACK delegates included."""

    runtime = "executorch"
    version = version("executorch")

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the program and let XNNPACK pack its weights.

        Raises:
            DeviceError: ExecuTorch refused it, its tensors are not what the manifest says, or a
                session with another number of threads is open in this process.
        """
        self._path, self._threads = path, threads
        self._spec, self._logits = artifact.input, artifact.output
        _set_threads(threads, path)
        with opening("ExecuTorch", path, REFUSALS):
            # The program's memory must outlive the method's.
            self._program = binding._load_program(
                str(path), program_verification=binding.Verification.InternalConsistency
            )
            self._method = self._program.load_method(METHOD)
            about = self._program.method_meta(METHOD)
            sides = [about.input_tensor_meta(0), about.output_tensor_meta(0)]
        specs: tuple[tuple[str, TensorSpec], ...] = (
            ("input", artifact.input),
            ("output", artifact.output),
        )
        for (what, spec), found in zip(specs, sides, strict=True):
            dtype = _ELEMENT_TYPES.get(found.dtype(), f"scalar type {found.dtype()}")
            expect_spec(path, what, spec, found.sizes(), dtype)
        _open.add(self)

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image in the artifact's own layout.

        Raises:
            DeviceError: the input is not what the artifact takes, or ExecuTorch failed.
        """
        expect_image(image, self._spec)
        try:
            (logits,) = self._method([torch.from_numpy(image)], clone_outputs=False)
        except REFUSALS as error:
            raise DeviceError(f"ExecuTorch failed: {reason(error)}") from error
        return np.array(logits.numpy(), np.float32)

    def placement(self) -> dict[str, int]:
        """Return how many operations XNNPACK takes and how many it leaves, as the file says.

        Raises:
            DeviceError: the file can't be read any more.
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


def _set_threads(threads: int, path: Path) -> None:
    """Give the process's only pool this number of threads.

    XNNPACK's part of an opened program keeps the pool that it was opened with: a pool that is
    replaced under it hangs its next run.

    Raises:
        DeviceError: a session that uses the pool with another number is open, or the pool did not
            take the number.
    """
    if binding._threadpool_get_thread_count() == threads:
        return
    if _open:
        raise DeviceError(
            f"asks for {threads} threads, and ExecuTorch has one pool of threads for the process: "
            f"{binding._threadpool_get_thread_count()} are in use by a session that is open",
            where=str(path),
            remedy="close that session first, or open both with the same number",
        )
    with quiet_stderr():
        binding._unsafe_reset_threadpool(threads)
    if (found := binding._threadpool_get_thread_count()) != threads:
        raise DeviceError(f"ExecuTorch took {found} threads, not {threads}", where=str(path))
