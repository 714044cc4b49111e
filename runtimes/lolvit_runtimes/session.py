"""The interface of every runtime, and the function that opens a session.

A runtime is one file with a class that implements `Session`, and one entry in `table.RUNTIMES`.
"""

from __future__ import annotations

import pkgutil
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
    """An artifact loaded into a runtime with a fixed number of threads."""

    runtime: str
    version: str

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by the artifact's tensor names, in its order, for inputs by name.
        Shapes and dtypes are those of the artifact's specs.

        Raises:
            DeviceError: an input does not match the artifact, or the runtime failed.
        """

    def placement(self) -> dict[str, int]:
        """Return the number of operations by where they run, e.g. {"CPUExecutionProvider": 120};
        empty if the runtime does not report it."""

    def options(self) -> dict[str, str]:
        """Return the settings that the session was opened with, including threads."""

    def close(self) -> None:
        """Free the runtime's memory; the session can't be used afterwards."""


def import_session_class(runtime: str) -> type[Session]:
    """Import a runtime in `RUNTIMES`, and return its session class."""
    session_class: type[Session] = pkgutil.resolve_name(RUNTIMES[runtime].session)
    return session_class


def open_session(runtime: str, path: Path, artifact: Artifact, *, threads: int = 1) -> Session:
    """Open an artifact whose file has been checked (`lolvit.manifest.check_artifact`).

    Raises:
        UserError: the runtime is unknown, does not open this format, or its setup is missing.
        MissingExtraError: its package is not installed.
        DeviceError: the runtime can't open the artifact.
    """
    entry = RUNTIMES[choose("runtime", runtime, RUNTIMES)]
    if not opens(runtime, artifact):
        raise UserError(
            f"runtime '{runtime}' opens {entry.format}, not {artifact.format}",
            where=str(path),
            remedy="choose another runtime",
        )
    require_runtime(runtime)
    session_class: Any = import_session_class(runtime)
    session: Session = session_class(path, artifact, threads=threads)
    return session
