"""Running a Python module in a child process that prints one JSON document, so that what it loads
stays out of this process, and a crash in it ends as one clear line here; and the child's side of
it.

The document is on standard output, as `lolvit COMMAND --json` prints it, and the lines on standard
error are relayed as they come: such a child is a command, not one that answers messages
(`lolvit_runtimes.worker.process.Process`). Its start, its tie to the parent and its failures are
those of that module.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from lolvit.error_handling import to_lolvit_error
from lolvit.errors import EXIT_BUG, EXIT_DONE
from lolvit.manifest import Artifact
from lolvit.output import document_only_stdout, print_json
from lolvit_runtimes.session import FloatArray
from lolvit_runtimes.worker.process import (
    exit_error,
    exit_reason,
    python_module,
    reported_error,
    start,
    traceback_in,
)

OnLine = Callable[[str], None]


def run_module(
    module: str,
    arguments: Sequence[str],
    *,
    what: str,
    on_line: OnLine = lambda line: None,
) -> dict[str, Any]:
    """Run `python -m module arguments` and return the document that it printed; `what` is, for
    messages, what was being done, and `on_line` gets each line of its standard error as it comes.

    Raises:
        LolvitError: the child failed; with its own line and exit code where it reported them.
        DeviceError: a signal killed it, as a crash of a native library does.
        RuntimeError: it met a bug of ours, or printed no document.
    """
    with tempfile.TemporaryFile() as printed:
        code, captured = _run(module, arguments, printed, on_line)
        printed.seek(0)
        document = _document(printed.read())
    if code < 0:
        raise exit_error(code, captured, name=what)
    if code == EXIT_DONE and document is not None:
        return document
    failure = reported_error((document or {}).get("error"), prefix=f"{what} failed: ")
    if failure is None or failure.exit_code == EXIT_BUG:
        raise RuntimeError(f"{what} {exit_reason(code)}:\n{traceback_in(captured)}")
    raise failure


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
    module: str, arguments: Sequence[str], printed: IO[bytes], on_line: OnLine
) -> tuple[int, str]:
    """Return the exit code, and what was captured of standard error."""
    process = start(
        # through `server`, which ties any module to this process
        python_module("lolvit_runtimes.worker.server", module, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    captured: list[str] = []
    try:
        for line in process.stderr:
            captured.append(line.decode(errors="replace").rstrip())
            on_line(captured[-1])
        return process.wait(), "\n".join(captured)
    except BaseException:  # Ctrl-C: the child ends too, cleaning up behind itself
        process.terminate()
        process.wait()
        raise
    finally:
        process.stderr.close()


def _document(printed: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(printed)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


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
