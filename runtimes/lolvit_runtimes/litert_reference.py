"""LiteRT's interpreter with its reference kernels, for verification."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from lolvit_runtimes.native import native_path
from lolvit_runtimes.tflite_interpreter import InterpreterSession


class LiteRTReferenceSession(InterpreterSession):
    """A TFLite artifact in LiteRT's Interpreter with BUILTIN_REF kernels and no delegate. They are
    simple loops, implemented independently of XNNPACK; slow."""

    runtime, library = "litert-reference", "LiteRT"
    kernel_set, kernels = "reference", "BUILTIN_REF"
    version = version("ai-edge-litert")

    def build(self, path: Path, threads: int) -> Any:
        """Return LiteRT's interpreter of a file."""
        return Interpreter(
            model_path=native_path(path),
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
