"""The base session of TFLite's interpreter, which LiteRT and TensorFlow both have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_inputs, expect_tensors, opening, reason
from lolvit_runtimes.session import Array

RUNTIME_ERRORS: tuple[type[Exception], ...] = (ValueError, RuntimeError, MemoryError)


class InterpreterSession:
    """A TFLite artifact in an interpreter without delegates. A subclass defines the library and the
    kernels, and creates the interpreter."""

    runtime: str
    version: str
    library: ClassVar[str]  # in messages
    kernel_set: ClassVar[str]  # in `placement`
    kernels: ClassVar[str]  # the op resolver's name

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact.

        Raises:
            DeviceError: the library can't open it, or its tensors do not match the manifest.
        """
        self._threads, self._artifact = threads, artifact
        with opening(self.library, path, RUNTIME_ERRORS):
            self._interpreter = self.build(path, threads)
            self._interpreter.allocate_tensors()
            if not self._interpreter.get_signature_list():
                raise DeviceError("it has no signature", where=str(path), remedy="export it again")
            self._runner = self._interpreter.get_signature_runner()
            sides = self._runner.get_input_details(), self._runner.get_output_details()
        for what, specs, tensors in zip(
            ("input", "output"), (artifact.inputs, artifact.outputs), sides, strict=True
        ):
            found = [
                (name, tuple(each["shape"].tolist()), np.dtype(each["dtype"]).name)
                for name, each in tensors.items()
            ]
            expect_tensors(path, what, specs, found)

    def build(self, path: Path, threads: int) -> Any:
        """Return the library's interpreter of a file."""
        raise NotImplementedError

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or the library failed.
        """
        expect_inputs(inputs, self._artifact.inputs)
        try:
            results = self._runner(**inputs)
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"{self.library} failed: {reason(error)}") from error
        return {spec.name: results[spec.name] for spec in self._artifact.outputs}

    def placement(self) -> dict[str, int]:
        """Return the number of operations, all of which run in these kernels."""
        return {self.kernel_set: len(self._interpreter._get_ops_details())}

    def options(self) -> dict[str, str]:
        """Return the kernels and the number of threads."""
        return {"kernels": self.kernels, "delegates": "none", "threads": str(self._threads)}

    def close(self) -> None:
        """Free the interpreter."""
        del self._runner, self._interpreter
