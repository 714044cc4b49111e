"""Eager PyTorch in float32: the latency of the same weights without a converter.

Verification compares artifacts with another reference, the model itself in float64
(`lolvit_export.verification.reference.Reference`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_inputs, expect_tensors, reason
from lolvit_runtimes.session import Array
from lolvit_runtimes.torch_program import load_program

RUNTIME_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError, MemoryError)


def as_sequence(outputs: Any) -> Sequence[Tensor]:
    """Return a program's outputs, one tensor or several, as a sequence."""
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


class EagerSession:
    """A torch.export program, run on the CPU operation by operation."""

    runtime = "eager"
    version = torch.__version__
    compiler = "none"

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the program, and run it once, to check the shapes of its outputs.

        Raises:
            DeviceError: torch can't load or run it, or its outputs do not match the manifest.
        """
        module = load_program(path)
        self._set(module, threads)
        self._inputs, self._outputs = artifact.inputs, artifact.outputs
        zeros = [
            torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in artifact.inputs
        ]
        try:
            with torch.inference_mode():
                self._call = self.prepare(module)
                results = as_sequence(self._call(*zeros))
        except RUNTIME_ERRORS as error:
            raise DeviceError(
                f"{self.runtime} cannot run it: {reason(error)}", where=str(path)
            ) from error
        finally:
            torch.set_num_threads(self._threads_before)
        names = [spec.name for spec in artifact.outputs]
        found = [
            (names[i] if i < len(names) else str(i), tuple(result.shape), _dtype(result))
            for i, result in enumerate(results)
        ]
        expect_tensors(path, "output", artifact.outputs, found)

    def _set(self, module: nn.Module, threads: int) -> None:
        self._module, self._threads = module, threads
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)

    def prepare(self, module: nn.Module) -> Callable[..., Any]:
        """Return the function that runs the module: the module itself."""
        return module

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name (see `Session.run`).

        Raises:
            DeviceError: an input does not match the artifact, or torch failed.
        """
        expect_inputs(inputs, self._inputs)
        if torch.get_num_threads() != self._threads:  # torch keeps one number for the process
            torch.set_num_threads(self._threads)
        given = [torch.from_numpy(inputs[spec.name]) for spec in self._inputs]
        try:
            with torch.inference_mode():
                results = as_sequence(self._call(*given))
                return {
                    spec.name: result.numpy()
                    for spec, result in zip(self._outputs, results, strict=True)
                }
        except RUNTIME_ERRORS as error:
            raise DeviceError(f"{self.runtime} failed: {reason(error)}") from error

    def placement(self) -> dict[str, int]:
        """Return the number of ATen operations; empty for a module without a graph."""
        if not isinstance(self._module, GraphModule):
            return {}
        return {"ATen": sum(node.op == "call_function" for node in self._module.graph.nodes)}

    def options(self) -> dict[str, str]:
        """Return the compiler and the number of threads."""
        return {"compiler": self.compiler, "threads": str(self._threads)}

    def close(self) -> None:
        """Restore the process's number of threads, and free the module."""
        torch.set_num_threads(self._threads_before)
        del self._module, self._call
