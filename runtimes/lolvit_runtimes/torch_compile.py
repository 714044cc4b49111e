"""torch.compile with its inductor backend, for comparison: C++ kernels compiled on this machine.

The program is compiled when it is opened, which takes tens of seconds for a new program and needs a
C++ compiler; torch caches the result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._inductor.config as inductor
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.cpp_builder import get_cpp_compiler

from lolvit.errors import DeviceError
from lolvit.manifest import Artifact
from lolvit_runtimes.eager import EagerSession
from lolvit_runtimes.native import quiet_stderr, reason


class TorchCompileSession(EagerSession):
    """A torch.export program, compiled for this machine's vector extensions.

    Weights are constants (inductor's `freezing`), as in every other runtime here.
    """

    runtime = "torch-compile"
    compiler = "inductor"

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load and compile the program.

        Raises:
            DeviceError: there is no C++ compiler, or torch can't load or compile it.
        """
        _require_compiler(path)
        try:
            with quiet_stderr():
                super().__init__(path, artifact, threads=threads)
        except TorchDynamoException as error:
            raise DeviceError(
                f"torch cannot compile it: {reason(error)}", where=str(path)
            ) from error

    def prepare(self, module: nn.Module) -> Callable[..., Any]:
        """Return the module's compiled form; the first call compiles it."""
        # No pool of compile processes, which would keep running during benchmarks.
        inductor.compile_threads = 1
        compiled: Callable[..., Any] = torch.compile(
            module, backend="inductor", dynamic=False, options={"freezing": True}
        )
        return compiled

    def placement(self) -> dict[str, int]:
        """Return {}: inductor does not report its operations."""
        return {}


def _require_compiler(path: Path) -> None:
    """Check that inductor finds a C++ compiler; its own error takes many lines.

    Raises:
        DeviceError: there is none.
    """
    try:
        get_cpp_compiler()
    except Exception as error:
        raise DeviceError(
            "torch.compile found no C++ compiler",
            where=str(path),
            remedy="install g++ or clang, or set CXX to one",
        ) from error
