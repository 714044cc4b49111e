"""The parent's side of a child process (the child's is `server.py`): starts it, asks it, ends it,
and turns whatever becomes of it into one failure.

`Process` talks over two pipes (`wire.py`). A command that prints one JSON document instead uses
`start`, `exit_error` and `reported_error` by themselves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NoAnswerError
from functools import partial
from typing import IO, Any, Self

from lolvit.errors import EXIT_BUG, DeviceError, GateFailedError, LolvitError, UserError
from lolvit_runtimes.native import reason
from lolvit_runtimes.worker.server import PARENT_PID, Answer
from lolvit_runtimes.worker.wire import Arrays, Message, WireError, receive, send

_KINDS = {kind.exit_code: kind for kind in (GateFailedError, UserError, DeviceError)}
_TRACEBACK = "Traceback (most recent call last)"
_CHAINED = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
_LINES_KEPT = 3


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module in this Python."""
    # -P: a module in the current folder must not stand in for one of ours
    return [sys.executable, "-P", "-m", module, *arguments]


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None, **streams: Any
) -> subprocess.Popen[bytes]:
    """Start a child that `server.end_with_parent` ties to the calling thread.

    Args:
        environment: by default that of this process, with its module path.
        streams: `stdin`, `stdout` and `stderr`, as `subprocess.Popen` takes them.

    Raises:
        OSError: the program can't be started.
    """
    if environment is None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, env={**environment, PARENT_PID: str(os.getpid())}, **streams)


class Process:
    """A child process that answers requests, one at a time; it is ended whatever happens.

    `name` is what failures call it, `where` the file that they name, `remedy` what they advise when
    it ended by itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        where: str = "",
        remedy: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command.

        Raises:
            OSError: the program can't be started.
        """
        self.name, self.where, self.remedy = name, where, remedy
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._lock = threading.RLock()  # of closing
        # A thread of its own starts the process, because the kernel ties it to that thread, and
        # does the writing and reading, so that a timeout holds even for a full pipe.
        self._thread = ThreadPoolExecutor(1)
        pipe, stderr = subprocess.PIPE, self._stderr
        try:
            self._process = self._thread.submit(
                start, command, environment, stdin=pipe, stdout=pipe, stderr=stderr
            ).result()
        except BaseException:
            self._thread.shutdown()
            self._stderr.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it can't be asked any more."""
        return self._stderr.closed

    def ask(
        self, request: Message, seconds: float | None = None, arrays: Arrays | None = None
    ) -> Answer:
        """Send a request and return the answer; after any failure the process has ended.

        Args:
            seconds: how long to wait for the answer; by default as long as the process lives.

        Raises:
            LolvitError: as the child reports it.
            DeviceError: it has ended, crashed, was killed, or gave no valid answer in time.
            RuntimeError: it failed with a traceback, a bug of ours.
        """
        return self.ask_in_bytes(partial(send, message=request, arrays=arrays), seconds)

    def ask_in_bytes(
        self, write: Callable[[IO[bytes]], None], seconds: float | None = None
    ) -> Answer:
        """As `ask`, for a request that `write` writes to the child's input in a form of its own.

        Raises:
            LolvitError, DeviceError, RuntimeError: as `ask`.
        """
        if self.ended:
            raise DeviceError(f"{self.name} has ended", where=self.where)
        pending = self.ask_later(write)
        try:
            answer, arrays = pending.result(seconds)
        except NoAnswerError as error:
            self.close()
            raise DeviceError(
                f"{self.name} gave no answer in {seconds:g} s", where=self.where
            ) from error
        except (EOFError, BrokenPipeError) as error:
            raise self._exit_error() from error
        except WireError as error:
            raise self.invalid_response(str(error)) from error
        except BaseException:  # Ctrl-C while waiting
            self.close()
            raise
        if "error" in answer:
            self.close()
            raise reported_error(answer["error"], where=self.where) or self.invalid_response()
        return answer, arrays

    def ask_later(self, write: Callable[[IO[bytes]], None]) -> Future[Answer]:
        """Have a request written, and don't wait for its answer: the next request does."""
        return self._thread.submit(self._exchange, write)

    def _exchange(self, write: Callable[[IO[bytes]], None]) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        write(self._process.stdin)
        return receive(self._process.stdout)

    def invalid_response(self, detail: str = "") -> DeviceError:
        """End the process and return what to raise when its answer is not valid."""
        self.close()
        what = f"{self.name} gave an invalid response"
        return DeviceError(f"{what}: {detail}" if detail else what, where=self.where)

    def _exit_error(self) -> LolvitError:
        """Return why the process has ended.

        Raises:
            RuntimeError: with a traceback, a bug of ours.
        """
        code, captured = self._process.wait(), self._captured_stderr()
        self.close()
        return exit_error(code, captured, name=self.name, where=self.where, remedy=self.remedy)

    def _captured_stderr(self) -> str:
        with self._lock:
            if self._stderr.closed:
                return ""
            self._stderr.seek(0)
            return self._stderr.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End the process, whatever it does; further calls do nothing."""
        with self._lock:
            if self._stderr.closed:
                return
            self._process.kill()
            self._process.wait()
            self._thread.shutdown(wait=True)
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    _close_broken(stream)
            self._stderr.close()


def _close_broken(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:  # what was still buffered has no reader any more
        return


def exit_error(
    code: int, captured: str, *, name: str, where: str = "", remedy: str = ""
) -> DeviceError:
    """Return a child's end that nobody asked for as one line, with the last one of its captured
    standard error.

    Raises:
        RuntimeError: it ended with a traceback, a bug of ours.
    """
    if code == EXIT_BUG:
        raise RuntimeError(f"{name} failed:\n{traceback_in(captured)}")
    # A process that the kernel killed had no time to print why.
    last_line = captured.splitlines()[-1] if captured and code != -signal.SIGKILL else ""
    detail = f": {reason(ValueError(last_line))}" if last_line else ""
    return DeviceError(f"{name} {exit_reason(code)}{detail}", where=where, remedy=remedy)


def exit_reason(code: int) -> str:
    """Return how a process ended, by its return code as `subprocess` has it."""
    if code >= 0:
        return f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), out of memory?"
    try:
        return f"crashed ({signal.Signals(-code).name})"
    except ValueError:
        return f"crashed (signal {-code})"


def traceback_in(captured: str) -> str:
    """Return the last traceback in captured standard error, with those of its causes; the last
    lines if there is none."""
    begin = captured.rfind(_TRACEBACK)
    if begin < 0:
        return "\n".join(captured.splitlines()[-_LINES_KEPT:])
    while captured[:begin].rstrip().endswith(_CHAINED):
        begin = captured.rfind(_TRACEBACK, 0, begin)
    return captured[begin:]


def reported_error(error: object, *, where: str = "", prefix: str = "") -> LolvitError | None:
    """Return a failure that a child reports, as its own type with its exit code; None if `error` is
    not such a report.

    Args:
        error: `what`, `where`, `remedy` and `exit_code`, as in the command line's documents.
        where: where the child names no place.
        prefix: what was being done, if `what` alone does not tell.
    """
    code = error.get("exit_code") if isinstance(error, dict) else None
    if not isinstance(error, dict) or not isinstance(code, int) or not 0 < code < 256:
        return None
    parts = {key: str(error.get(key, "")) for key in ("what", "where", "remedy")}
    failure = _KINDS.get(code, LolvitError)(
        prefix + parts["what"], where=parts["where"] or where, remedy=parts["remedy"]
    )
    failure.exit_code = code
    return failure
