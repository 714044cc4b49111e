"""LiteRT's interpreter with its reference kernels: a second opinion."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_inputs, expect_tensors, opening, reason
from lolvit_runtimes.session import Array

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
        self._threads, self._artifact = threads, artifact
        with opening("LiteRT", path, REFUSALS):
            self._interpreter = Interpreter(
                model_path=str(path),
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            )
            self._interpreter.allocate_tensors()
            if not self._interpreter.get_signature_list():
                raise DeviceError("it has no signature to run", where=str(path))
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

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, as `Session.run` says.

        Raises:
            DeviceError: an input is not what the artifact takes, or LiteRT failed.
        """
        expect_inputs(inputs, self._artifact.inputs)
        try:
            results = self._runner(**inputs)
        except REFUSALS as error:
            raise DeviceError(f"LiteRT failed: {reason(error)}") from error
        return {spec.name: results[spec.name] for spec in self._artifact.outputs}

    def placement(self) -> dict[str, int]:
        """Return how many operations ran in reference kernels: all."""
        return {"reference": len(self._interpreter._get_ops_details())}

    def options(self) -> dict[str, str]:
        """Return the kernels and the number of threads."""
        return {"kernels": "BUILTIN_REF", "delegates": "none", "threads": str(self._threads)}

    def close(self) -> None:
        """Free the interpreter."""
        del self._runner, self._interpreter
