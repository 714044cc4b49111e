"""LiteRT's interpreter with its reference kernels: a second opinion."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_image, expect_spec, opening, reason
from lolvit_runtimes.session import FloatArray

REFUSALS: tuple[type[Exception], ...] = (ValueError, RuntimeError, MemoryError)


class LiteRTReferenceSession:
    """A TFLite artifact in LiteRT's Interpreter, BUILTIN_REF kernels and no delegate: plain loops,
    written apart from XNNPACK, so that the two agree only where both are right. Slow."""

    runtime = "litert-reference"
    version = version("ai-edge-litert")

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact.

        Raises:
            DeviceError: LiteRT refused it, or its tensors are not what the manifest says.
        """
        self._threads, self._spec = threads, artifact.input
        with opening("LiteRT", path, REFUSALS):
            self._interpreter = Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            )
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

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image in the artifact's own layout.

        Raises:
            DeviceError: the input is not what the artifact takes, or LiteRT failed.
        """
        expect_image(image, self._spec)
        try:
            self._interpreter.set_tensor(self._image, image)
            self._interpreter.invoke()
            logits: FloatArray = self._interpreter.get_tensor(self._logits)
        except REFUSALS as error:
            raise DeviceError(f"LiteRT failed: {reason(error)}") from error
        return logits.astype(np.float32, copy=False)

    def placement(self) -> dict[str, int]:
        """Return how many operations ran in reference kernels: all."""
        return {"reference": len(self._interpreter._get_ops_details())}

    def options(self) -> dict[str, str]:
        """Return the kernels and the number of threads."""
        return {"kernels": "BUILTIN_REF", "delegates": "none", "threads": str(self._threads)}

    def close(self) -> None:
        """Free the interpreter."""
        del self._interpreter
