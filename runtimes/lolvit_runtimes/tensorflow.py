"""TensorFlow's own TFLite interpreter: a second opinion from another build of other kernels.

TensorFlow and PyTorch with Triton crash when one process loads both, so that this runs in a child
process alone (`table.RuntimeEntry.isolated`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from lolvit.errors import DeviceError
from lolvit_runtimes.tflite_interpreter import InterpreterSession

if "torch" in sys.modules:
    raise DeviceError("TensorFlow and PyTorch cannot share a process")

# Read while TensorFlow is imported: errors alone are logged, and no GPU is looked for.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow
from tensorflow.lite.python.interpreter import (
    Interpreter,
    OpResolverType,
)


class TensorFlowSession(InterpreterSession):
    """A TFLite artifact in TensorFlow's interpreter with its optimized kernels and no delegate:
    neither LiteRT's XNNPACK nor its reference loops."""

    runtime, library = "tensorflow", "TensorFlow"
    place, kernels = "builtin", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    version = tensorflow.__version__

    def build(self, path: Path, threads: int) -> Any:
        """Return the interpreter of a file."""
        return Interpreter(
            model_path=str(path),
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
