"""Output of commands: results on stdout (with `--json` one document, else tables and lines),
messages and progress on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Without a terminal lines are not limited, so that tables keep the natural width of columns.
_PLAIN_WIDTH = 1000


@dataclass
class _Channel:
    """The stream of documents (None: standard output), and whether one was printed."""

    stream: TextIO | None = None
    printed: bool = False


_channel = _Channel()


def console(stream: TextIO | None = None) -> Console:
    """Return the console for messages and progress: stderr (or a copy of it, `stream`); plain text
    without a terminal."""
    from rich.console import Console  # imported on use: `--help` stays fast

    width = None if sys.stderr.isatty() else _PLAIN_WIDTH
    return Console(stderr=True, file=stream, highlight=False, width=width)


def results() -> Console:
    """Return the console for a command's result without `--json`: stdout, so that it can be piped;
    plain text without a terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PLAIN_WIDTH
    return Console(highlight=False, width=width)


def print_json(document: dict[str, Any]) -> None:
    """Print the one JSON document of a command run with `--json`."""
    import json

    stream = _channel.stream or sys.stdout
    stream.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    stream.flush()
    _channel.printed = True


def document_printed() -> bool:
    """Whether `print_json` has been called inside `document_only_stdout`."""
    return _channel.printed


@contextmanager
def document_only_stdout() -> Iterator[None]:
    """Reserve standard output for `print_json`: what else is written there, by native libraries and
    child processes too, is redirected to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(kept, "w", encoding="utf-8", closefd=False) as stream:
            _channel.stream, _channel.printed = stream, False
            yield
    finally:
        _channel.stream = None
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
