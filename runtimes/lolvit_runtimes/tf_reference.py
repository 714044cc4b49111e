"""TensorFlow's own TFLite interpreter with its reference kernels: a second opinion."""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lolvit.artifact import Artifact
from lolvit.errors import DeviceError
from lolvit_runtimes.hidden import hidden
from lolvit_runtimes.native import expect_image, expect_spec, opening, quiet_stderr, reason
from lolvit_runtimes.session import FloatArray

# TensorFlow imports these where it finds them, for uses that are not its interpreter's: without
# them its import takes 6 s instead of 12.
_UNUSED = ("h5py", "jax", "keras", "pandas")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_stderr(), hidden(_UNUSED):  # it greets
    import tensorflow

REFUSALS: tuple[type[Exception], ...] = (ValueError, RuntimeError, MemoryError)


class TfReferenceSession:
    """A TFLite artifact in tf.lite.Interpreter, BUILTIN_REF kernels and no delegate: plain loops,
    written apart from XNNPACK, so that the two agree only where both are right. Slow."""

    runtime = "tf-reference"
    version = version("tensorflow")

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the artifact.

        Raises:
            DeviceError: TensorFlow refused it, or its tensors are not what the manifest says.
        """
        self._threads, self._spec = threads, artifact.input
        with opening("TensorFlow", path, REFUSALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tf.lite's notice that LiteRT is its successor
            self._interpreter = tensorflow.lite.Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_op_resolver_type=tensorflow.lite.experimental.OpResolverType.BUILTIN_REF,
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
            DeviceError: the input is not what the artifact takes, or TensorFlow failed.
        """
        expect_image(image, self._spec)
        try:
            self._interpreter.set_tensor(self._image, image)
            self._interpreter.invoke()
            logits: FloatArray = self._interpreter.get_tensor(self._logits)
        except REFUSALS as error:
            raise DeviceError(f"TensorFlow failed: {reason(error)}") from error
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
