"""Runtimes in a child process: a crash, a hang or too much memory becomes one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NoAnswerError
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lolvit.errors import EXIT_BUG, DeviceError, LolvitError, UserError
from lolvit.manifest import Artifact, TensorSpec
from lolvit_runtimes.bare import CHECKED_IN_PYTHON, check, format_of
from lolvit_runtimes.native import reason
from lolvit_runtimes.table import RUNTIMES, opens, require_runtime
from lolvit_runtimes.wire import Array, Arrays, Message, WireError, receive, send

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
        with Child(path) as child:
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
        child: Child | None = None,
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
        self._child = child or Child(path, memory)
        self._child.path = path
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
            raise self._child.senseless() from error

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
            raise self._child.senseless()
        self.last_run_seconds = seconds
        return outputs

    def placement(self) -> dict[str, int]:
        """Return how many operations run where, as the runtime in the child tells.

        Raises:
            DeviceError: the runtime failed, crashed or hung; the session is then closed.
        """
        answer, _ = self._child.ask({"do": "placement"}, self._seconds)
        found = answer.get("placement")
        if not isinstance(found, dict):
            raise self._child.senseless()
        return {str(place): int(count) for place, count in found.items()}

    def options(self) -> dict[str, str]:
        """Return the settings that the session was opened with, and that it runs in a child."""
        return self._options | {"process": "child"}

    def close(self) -> None:
        """End the child, if it was started for this session."""
        if self._own:
            self._child.close()


class Child:
    """The child process on one file: starts, is asked, and is ended whatever happens. `path` is the
    file that failures name."""

    def __init__(self, path: Path, memory: int | None = None) -> None:
        self.path = path
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(
            # -P: a module in the current folder must not stand in for one of ours
            [sys.executable, "-P", "-m", "lolvit_runtimes.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        # A thread does the writing and reading, so that a timeout holds even for a full pipe.
        self._talker = ThreadPoolExecutor(1)
        self.ask({"do": "limit", "bytes": memory or default_memory()}, START_SECONDS)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ended(self) -> bool:
        """Whether it can't be asked any more."""
        return self._said.closed

    def import_ahead(self, runtime: str) -> None:
        """Have the child import a runtime, and don't wait for it: the next question does."""
        self._talker.submit(self._exchange, {"do": "import", "runtime": runtime}, None)

    def ask(
        self, request: Message, seconds: float, arrays: Arrays | None = None
    ) -> tuple[Message, dict[str, Array]]:
        """Send a request and return the answer; after any failure the child is gone.

        Raises:
            LolvitError: as the child says.
            DeviceError: it crashed, or gave no answer or a senseless one.
        """
        if self._process.returncode is not None:
            raise DeviceError("its runtime's process has ended", where=str(self.path))
        pending: Future[Any] = self._talker.submit(self._exchange, request, arrays)
        try:
            answer, results = pending.result(seconds)
        except NoAnswerError as error:
            self.close()
            raise DeviceError(f"no answer in {seconds:g} s", where=str(self.path)) from error
        except (EOFError, BrokenPipeError) as error:
            raise self._post_mortem() from error
        except WireError as error:
            raise self.senseless() from error
        except BaseException:  # Ctrl-C while waiting
            self.close()
            raise
        if "error" in answer:
            raise self._told(answer)
        return answer, results

    def _exchange(
        self, request: Message, arrays: Arrays | None
    ) -> tuple[Message, dict[str, Array]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        send(self._process.stdin, request, arrays)
        return receive(self._process.stdout)

    def _told(self, answer: Message) -> LolvitError:
        """Return the failure that the child reports, as its own type."""
        parts = answer["error"]
        if not isinstance(parts, dict):
            return self.senseless()
        self.close()
        kind = UserError if answer.get("exit_code") == UserError.exit_code else DeviceError
        what, where, remedy = (str(parts.get(part, "")) for part in ("what", "where", "remedy"))
        return kind(what, where=where or str(self.path), remedy=remedy)

    def senseless(self) -> DeviceError:
        """End the child and return what to raise when its answer makes no sense."""
        self.close()
        return DeviceError("its runtime's process gave a senseless answer", where=str(self.path))

    def _post_mortem(self) -> LolvitError:
        """Return why the child is gone.

        Raises:
            RuntimeError: it ended with a traceback, a bug of ours.
        """
        code = self._process.wait()
        last_words = self._last_words()
        self.close()
        if code == EXIT_BUG:
            raise RuntimeError(f"the child process failed:\n{last_words}")
        last_line = last_words.splitlines()[-1] if last_words else ""
        said = f": {reason(ValueError(last_line))}" if last_line else ""
        return DeviceError(
            f"the runtime {_ending(code)}{said}",
            where=str(self.path),
            remedy="the file is broken or the runtime can't handle it",
        )

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End the child, by force if it does not end by itself at once."""
        if self._said.closed:
            return
        self._process.kill()
        self._process.wait()
        self._talker.shutdown(wait=True)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                _close_broken(stream)
        self._said.close()


def _close_broken(stream: Any) -> None:
    try:
        stream.close()
    except BrokenPipeError:  # what was still buffered has no reader any more
        return


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended its process with exit code {code}"
    name = signal.Signals(-code).name
    return "was killed (SIGKILL), out of memory?" if name == "SIGKILL" else f"crashed ({name})"


def default_memory() -> int:
    """Return half of the machine's memory in bytes, at least 8 GiB."""
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return max(LEAST_MEMORY, pages * os.sysconf("SC_PAGE_SIZE") // 2 if pages else 0)
