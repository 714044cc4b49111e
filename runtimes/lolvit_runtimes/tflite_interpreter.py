"""TFLite's interpreter, which LiteRT and TensorFlow each build: what both sessions share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_image, expect_spec, opening, reason
from lolvit_runtimes.session import FloatArray

REFUSALS: tuple[type[Exception], ...] = (ValueError, RuntimeError, MemoryError)


class InterpreterSession:
    """A TFLite artifact in an interpreter without delegates. A subclass names the library and the
    kernels, and builds the interpreter."""

    runtime: str
    version: str
    library: ClassVar[str]  # in messages
    place: ClassVar[str]  # of `placement`: which kernels
    kernels: ClassVar[str]  # the op resolver's name

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact.

        Raises:
            DeviceError: the library refused it, or its tensors are not what the manifest says.
        """
        self._threads, self._spec = threads, artifact.input
        with opening(self.library, path, REFUSALS):
            self._interpreter = self.build(path, threads)
            self._interpreter.allocate_tensors()
            image = self._interpreter.get_input_details()[0]
            logits = self._interpreter.get_output_details()[0]
        for what, spec, found in (
            ("input", artifact.input, image),
            ("output", artifact.output, logits),
        ):
            expect_spec(
                path, what, spec, tuple(found["shape"].tolist()), np.dtype(found["dtype"]).name
            )
        self._image, self._logits = image["index"], logits["index"]

    def build(self, path: Path, threads: int) -> Any:
        """Return the library's interpreter of a file."""
        raise NotImplementedError

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image in the artifact's own layout.

        Raises:
            DeviceError: the input is not what the artifact takes, or the library failed.
        """
        expect_image(image, self._spec)
        try:
            self._interpreter.set_tensor(self._image, image)
            self._interpreter.invoke()
            logits: FloatArray = self._interpreter.get_tensor(self._logits)
        except REFUSALS as error:
            raise DeviceError(f"{self.library} failed: {reason(error)}") from error
        return logits.astype(np.float32, copy=False)

    def placement(self) -> dict[str, int]:
        """Return how many operations ran in these kernels: all."""
        return {self.place: len(self._interpreter._get_ops_details())}

    def options(self) -> dict[str, str]:
        """Return the kernels and the number of threads."""
        return {"kernels": self.kernels, "delegates": "none", "threads": str(self._threads)}

    def close(self) -> None:
        """Free the interpreter."""
        del self._interpreter
