"""torch.compile with its inductor backend, for reference: C++ kernels made on this machine.

Compiling happens while the program is opened, takes tens of seconds for a new program, and needs a
C++ compiler; torch keeps what it compiled in its own cache.
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

    Weights are constants to it (inductor's `freezing`), as they are to every other runtime here.
    """

    runtime = "torch-compile"
    compiler = "inductor"

    def __init__(self, path: Path, artifact: Artifact, *, threads: int = 1) -> None:
        """Load and compile the program.

        Raises:
            DeviceError: there is no C++ compiler, or torch refused or could not compile it.
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
        """Return the compiled module, which the first call compiles."""
        # No pool of compiling processes: they would live on beside what is timed.
        inductor.compile_threads = 1
        compiled: Callable[..., Any] = torch.compile(
            module, backend="inductor", dynamic=False, options={"freezing": True}
        )
        return compiled

    def placement(self) -> dict[str, int]:
        """Return {}: what inductor made of the operations can't be counted."""
        return {}


def _require_compiler(path: Path) -> None:
    """Ask inductor for its compiler first: behind its own many lines the reason is hard to see.

    Raises:
        DeviceError: there is none.
    """
    try:
        get_cpp_compiler()
    except Exception as error:
        raise DeviceError(
            "torch.compile needs a C++ compiler, and finds none",
            where=str(path),
            remedy="install g++ or clang, or name one in CXX",
        ) from error
