"""The one interface that every runtime has, and the way to open one.

A runtime is one file with a class that follows `Session`, and one entry in `table.RUNTIMES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lolvit.errors import UserError
from lolvit.manifest import Artifact
from lolvit.registry import choose
from lolvit_runtimes.table import RUNTIMES, RuntimeEntry, opens, require_runtime

__all__ = [
    "RUNTIMES",
    "Array",
    "FloatArray",
    "RuntimeEntry",
    "Session",
    "open_session",
    "require_runtime",
]

Array = npt.NDArray[np.generic]
FloatArray = npt.NDArray[np.float32]


class Session(Protocol):
    """An artifact, loaded into one runtime with a fixed number of threads."""

    runtime: str
    version: str

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs, of the shapes and element types that the artifact states, for inputs
        of the same kind; both by the artifact's tensor names, outputs in the artifact's order.

        Raises:
            DeviceError: an input is not what the artifact takes, or the runtime failed.
        """

    def placement(self) -> dict[str, int]:
        """Return how many operations run where, e.g. {"CPUExecutionProvider": 120}; empty when the
        runtime can't tell."""

    def options(self) -> dict[str, str]:
        """Return the settings that the session was opened with, threads included."""

    def close(self) -> None:
        """Free the runtime's memory; the session can't be used afterwards."""


def import_session_class(runtime: str) -> type[Session]:
    """Import a runtime in `RUNTIMES`, and return its session class."""
    module, _, name = RUNTIMES[runtime].session.partition(":")
    session_class: type[Session] = getattr(importlib.import_module(module), name)
    return session_class


def open_session(runtime: str, path: Path, artifact: Artifact, *, threads: int = 1) -> Session:
    """Open an artifact whose file has been checked (`lolvit.manifest.check_artifact`).

    Raises:
        UserError: the runtime is unknown or does not open this format.
        MissingExtraError: its package is not installed.
        DeviceError: the runtime refused the artifact.
    """
    entry = RUNTIMES[choose("runtime", runtime, RUNTIMES)]
    if not opens(runtime, artifact):
        raise UserError(
            f"runtime '{runtime}' opens {entry.format}, not {artifact.format}", where=str(path)
        )
    require_runtime(runtime)
    session_class: Any = import_session_class(runtime)
    session: Session = session_class(path, artifact, threads=threads)
    return session
