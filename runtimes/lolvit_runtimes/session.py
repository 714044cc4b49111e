"""The one interface that every runtime has, and the way to open one.

A runtime is one file with a class that follows `Session`, and one entry in `table.RUNTIMES`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lolvit.errors import UserError
from lolvit.manifest import Artifact
from lolvit.registry import choose
from lolvit_runtimes.table import RUNTIMES, RuntimeEntry, require_runtime

__all__ = [
    "RUNTIMES",
    "FloatArray",
    "RuntimeEntry",
    "Session",
    "open_session",
    "require_runtime",
]

FloatArray = npt.NDArray[np.float32]


class Session(Protocol):
    """An artifact, loaded into one runtime with a fixed number of threads."""

    runtime: str
    version: str

    def run(self, image: FloatArray) -> FloatArray:
        """Return logits of shape (1, classes) for one image in the artifact's own layout.

        Raises:
            DeviceError: the runtime failed.
        """

    def placement(self) -> dict[str, int]:
        """Return how many operations run where, e.g. {"CPUExecutionProvider": 120}; empty when the
        runtime can't tell."""

    def options(self) -> dict[str, str]:
        """Return the settings that the session was opened with, threads included."""

    def close(self) -> None:
        """Free the runtime's memory; the session can't be used afterwards."""


def import_runtime(runtime: str) -> type[Session]:
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
    if entry.format != artifact.format:
        raise UserError(
            f"runtime '{runtime}' opens {entry.format}, not {artifact.format}", where=str(path)
        )
    require_runtime(runtime)
    session_class: Any = import_runtime(runtime)
    session: Session = session_class(path, artifact, threads=threads)
    return session
