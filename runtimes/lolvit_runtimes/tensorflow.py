"""TensorFlow's TFLite interpreter, for verification with independent kernels.

A process that loads both TensorFlow and PyTorch with Triton crashes, so this runs only in a child
process (`table.RuntimeEntry.isolated`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from lolvit.cache import cache_folder
from lolvit.errors import DeviceError
from lolvit_runtimes.native import native_path
from lolvit_runtimes.tflite_interpreter import InterpreterSession

if "torch" in sys.modules:
    raise DeviceError("TensorFlow and PyTorch cannot share a process")

# Read when TensorFlow is imported: log errors only, and do not search for GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("KERAS_HOME", str(cache_folder() / "keras"))  # else it writes to ~/.keras

import tensorflow
from tensorflow.lite.python.interpreter import (
    Interpreter,
    OpResolverType,
)


class TensorFlowSession(InterpreterSession):
    """A TFLite artifact in TensorFlow's interpreter with its optimized kernels and no delegate."""

    runtime, library = "tensorflow", "TensorFlow"
    kernel_set, kernels = "builtin", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    version = tensorflow.__version__

    def build(self, path: Path, threads: int) -> Any:
        """Return TensorFlow's interpreter of a file."""
        return Interpreter(
            model_path=native_path(path),
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
