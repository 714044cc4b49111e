"""Running a Python module in a child process that answers with one JSON document, so that what it
loads stays out of this process, and a crash in it ends as one clear line here; and the child's
side of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from lolvit.error_handling import to_lolvit_error
from lolvit.errors import (
    EXIT_BUG,
    EXIT_DONE,
    DeviceError,
    GateFailedError,
    LolvitError,
    UserError,
)
from lolvit.manifest import Artifact
from lolvit.output import document_only_stdout, print_json
from lolvit_runtimes.session import FloatArray

Hear = Callable[[str], None]

_LINES_KEPT = 3
_KINDS = {kind.exit_code: kind for kind in (GateFailedError, UserError, DeviceError)}


def run_module(
    module: str, arguments: Sequence[str], *, what: str, hear: Hear = lambda line: None
) -> dict[str, Any]:
    """Run `python -m module arguments` and return the document that it printed; `what` says, for
    messages, what was being done, and `hear` gets each line of its standard error as it comes.

    Raises:
        LolvitError: the child failed; with its own line and exit code where it gave them.
        DeviceError: a signal killed it, as a crash of a native library does.
        RuntimeError: it met a bug of ours, or printed no document.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        code, said = _run(module, arguments, printed, hear)
        printed.seek(0)
        document = _document(printed.read())
    if code < 0:
        raise DeviceError(f"{what} crashed with {_signal(-code)}")
    if code == 0 and document is not None:
        return document
    raise _failure(document, code, said, what)


def run_on_image(
    module: str,
    runtime: str,
    folder: Path,
    artifact: Artifact,
    threads: int,
    image: FloatArray,
    *,
    what: str,
) -> dict[str, Any]:
    """As `run_module`, for one artifact and an input in its own layout: the child is called with
    RUNTIME FOLDER NAME THREADS FILE, where the file holds the image as numpy saves it.

    Raises:
        LolvitError, RuntimeError: as `run_module`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "image.npy"
        np.save(path, image)
        arguments = [runtime, str(folder), artifact.path, str(threads), str(path)]
        return run_module(module, arguments, what=what)


def _run(
    module: str, arguments: Sequence[str], printed: IO[str], hear: Hear
) -> tuple[int, list[str]]:
    """Return the exit code, and the last lines of standard error."""
    process = subprocess.Popen(
        # -P: a module in the current folder must not stand in for one of ours
        [sys.executable, "-P", "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said = [*said, line.strip()][-_LINES_KEPT:]
            hear(line.rstrip())
        return process.wait(), said
    except BaseException:  # Ctrl-C: the child ends too, cleaning up behind itself
        process.terminate()
        process.wait()
        raise
    finally:
        process.stderr.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _document(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _failure(
    document: dict[str, Any] | None, code: int, said: list[str], what: str
) -> LolvitError | RuntimeError:
    error = (document or {}).get("error")
    if not isinstance(error, dict) or error.get("exit_code") == EXIT_BUG:
        return RuntimeError(f"{what} ended with exit code {code}: {' | '.join(said)}")
    kind = _KINDS.get(code, LolvitError)
    failure = kind(f"{what} failed: {error['what']}", where=error["where"], remedy=error["remedy"])
    failure.exit_code = code
    return failure


def answer(work: Callable[[], dict[str, Any]]) -> int:
    """In the child: print the document that `work` returns, or its failure as one; return the exit
    code. A bug of ours is raised."""
    with document_only_stdout():
        try:
            document = work()
        except Exception as error:
            failure = to_lolvit_error(error)
            if failure is None:
                raise
            keys = ("what", "where", "remedy", "exit_code")
            print_json({"error": {key: getattr(failure, key) for key in keys}})
            return failure.exit_code
        print_json(document)
        return EXIT_DONE
