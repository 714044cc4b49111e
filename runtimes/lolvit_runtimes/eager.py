"""Eager PyTorch in float32, for reference: what the same weights take without any converter.

What artifacts are compared with is another thing: the model itself in float64
(`lolvit_export.verification.verifiers.eager_logits`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.native import expect_image, reason
from lolvit_runtimes.session import FloatArray
from lolvit_runtimes.torch_program import load_program

REFUSALS: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError, MemoryError)


class EagerSession:
    """A torch.export program, run on the CPU operation by operation."""

    runtime = "eager"
    version = torch.__version__
    compiler = "none"

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load the program, and run it once: its shapes are seen by running.

        Raises:
            DeviceError: torch refused it, or its logits are not what the manifest says.
        """
        module = load_program(path)
        self._set(module, threads)
        self._spec: Any = artifact.input
        try:
            with torch.inference_mode():
                self._call = self.prepare(module)
                logits = self._call(torch.zeros(artifact.input.shape))
        except REFUSALS as error:
            raise DeviceError(
                f"{self.runtime} cannot run it: {reason(error)}", where=str(path)
            ) from error
        finally:
            torch.set_num_threads(self._threads_before)
        if tuple(logits.shape) != artifact.output.shape:
            raise DeviceError(
                f"its output is {tuple(logits.shape)}, its manifest says {artifact.output.shape}",
                where=str(path),
                remedy="export again",
            )

    @classmethod
    def of(cls, module: nn.Module, *, threads: int = 1) -> EagerSession:
        """Wrap a module in eval mode that takes one normalised NCHW image.

        Raises:
            ValueError: the module is in training mode.
        """
        if module.training:
            raise ValueError("call module.eval() first: BatchNorm would use the batch's statistics")
        session = cls.__new__(cls)
        session._set(module, threads)
        session._call, session._spec = module, None
        return session

    def _set(self, module: nn.Module, threads: int) -> None:
        self._module, self._threads = module, threads
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)

    def prepare(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return what is called with an image: the module itself."""
        return module

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one normalised image of shape (1, 3, H, W).

        Raises:
            DeviceError: the input is not what the program takes, or torch failed.
        """
        if self._spec is not None:
            expect_image(image, self._spec)
        if torch.get_num_threads() != self._threads:  # torch keeps one number for the process
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                logits: FloatArray = self._call(torch.from_numpy(image)).float().numpy()
        except REFUSALS as error:
            raise DeviceError(f"{self.runtime} failed: {reason(error)}") from error
        return logits

    def placement(self) -> dict[str, int]:
        """Return how many operations torch calls; none for a module, which has no graph."""
        if not isinstance(self._module, GraphModule):
            return {}
        return {"ATen": sum(node.op == "call_function" for node in self._module.graph.nodes)}

    def options(self) -> dict[str, str]:
        """Return the compiler and the number of threads."""
        return {"compiler": self.compiler, "threads": str(self._threads)}

    def close(self) -> None:
        """Give back the process's number of threads, and forget the module."""
        torch.set_num_threads(self._threads_before)
        del self._module, self._call
