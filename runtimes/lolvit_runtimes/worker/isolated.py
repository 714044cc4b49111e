"""Runtimes in a child process: a crash, a hang or too much memory becomes one line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from lolvit.errors import UserError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_runtimes.bare import CHECKED_IN_PYTHON, check, format_of
from lolvit_runtimes.table import RUNTIMES, opens, require_runtime
from lolvit_runtimes.worker.process import Process, python_module
from lolvit_runtimes.worker.wire import Array, Message, send

START_SECONDS = 120.0  # coremltools takes ten to import on a busy machine
RUN_SECONDS = 60.0
LEAST_MEMORY = 8 << 30


def check_bare(path: Path) -> str:
    """Return the format of a file that has no manifest, once its structure has been checked.

    Only checks written in Python run in this process; native ones run in a child.

    Raises:
        UserError: it is not an artifact, or not a valid one.
        DeviceError: the checker crashed or hung on it.
    """
    format = format_of(path)
    if format in CHECKED_IN_PYTHON:
        check(path, format)
    else:
        with RuntimeProcess(path) as child:
            child.ask({"do": "check", "path": str(path), "format": format}, START_SECONDS)
    return format


class IsolatedSession:
    """A `Session` whose runtime runs in a child process.

    `run` costs a copy of inputs and outputs through a pipe; what the runtime itself took
    is in `last_run_seconds`.
    """

    def __init__(
        self,
        runtime: str,
        path: Path,
        artifact: Artifact | None = None,
        *,
        threads: int = 1,
        start_seconds: float = START_SECONDS,
        run_seconds: float = RUN_SECONDS,
        memory: int | None = None,
        child: RuntimeProcess | None = None,
        batch: int | None = None,
    ) -> None:
        """Open an artifact in a child; without `artifact`, check the file and learn its tensors.

        Args:
            memory: bytes of address space the child may use (Linux); by default half of the
                machine's memory, at least 8 GiB.
            child: a child that is there already; it forgets what it had opened before, and
                outlives this session.
            batch: without `artifact`, what a free first axis of its tensors becomes.

        Raises:
            UserError: the file is not valid, or is not of this runtime's format.
            MissingExtraError: the runtime's package is not installed.
            DeviceError: the runtime refused the file, crashed, hung, or ran out of memory.
        """
        require_runtime(runtime)
        format = artifact.file_format if artifact else format_of(path)
        if not (opens(runtime, artifact) if artifact else RUNTIMES[runtime].format == format):
            raise UserError(f"runtime '{runtime}' does not open {format}", where=str(path))
        if artifact is None and format in CHECKED_IN_PYTHON:
            check(path, format)  # here already, for it needs no child
        self.runtime = runtime
        self.last_run_seconds = float("nan")
        self._seconds = run_seconds
        self._own = child is None
        self._child = child or RuntimeProcess(path, memory)
        self._child.where = str(path)
        request = {
            "do": "open",
            "path": str(path),
            "format": format,
            "runtime": runtime,
            "artifact": artifact.model_dump() if artifact else None,
            "threads": threads,
            "batch": batch,
        }
        answer, _ = self._child.ask(request, start_seconds)
        self._learn(answer)

    def _learn(self, answer: Message) -> None:
        try:
            self.version, self._options = str(answer["version"]), dict(answer["options"])
            self.inputs, self.outputs = (
                tuple(TensorSpec.model_validate(spec) for spec in answer[what])
                for what in ("inputs", "outputs")
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise self._child.invalid_response() from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, as `Session.run` says.

        Raises:
            DeviceError: the runtime failed, crashed or hung; the session is then closed.
        """
        answer, outputs = self._child.ask({"do": "run"}, self._seconds, inputs)
        seconds = answer.get("seconds")
        found = {name: (array.shape, array.dtype.name) for name, array in outputs.items()}
        stated = {spec.name: (spec.shape, spec.dtype) for spec in self.outputs}
        if found != stated or not isinstance(seconds, float):
            raise self._child.invalid_response()
        self.last_run_seconds = seconds
        return outputs

    def placement(self) -> dict[str, int]:
        """Return how many operations run where, as the runtime in the child reports.

        Raises:
            DeviceError: the runtime failed, crashed or hung; the session is then closed.
        """
        answer, _ = self._child.ask({"do": "placement"}, self._seconds)
        found = answer.get("placement")
        if not isinstance(found, dict):
            raise self._child.invalid_response()
        return {str(place): int(count) for place, count in found.items()}

    def options(self) -> dict[str, str]:
        """Return the settings that the session was opened with, and that it runs in a child."""
        return self._options | {"process": "child"}

    def close(self) -> None:
        """End the child, if it was started for this session."""
        if self._own:
            self._child.close()


class RuntimeProcess(Process):
    """The child process that a runtime runs in; it holds one artifact at a time."""

    def __init__(self, path: Path, memory: int | None = None) -> None:
        """Start it for a file, with a limit on its memory in bytes.

        Raises:
            DeviceError: it did not start.
        """
        super().__init__(
            python_module("lolvit_runtimes.worker.runtime"),
            name="the runtime",
            where=str(path),
            remedy="the file is broken or the runtime can't handle it",
        )
        self.ask({"do": "limit", "bytes": memory or default_memory()}, START_SECONDS)

    def import_ahead(self, runtime: str) -> None:
        """Have a runtime imported, and don't wait for it: the next request does."""
        self.ask_later(partial(send, message={"do": "import", "runtime": runtime}))


def default_memory() -> int:
    """Return half of the machine's memory in bytes, at least 8 GiB."""
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return max(LEAST_MEMORY, pages * os.sysconf("SC_PAGE_SIZE") // 2 if pages else 0)
