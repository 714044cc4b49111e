"""Output of commands: results on stdout (with `--json` one document, else tables and lines),
messages and progress on stderr."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from lolvit.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Wide enough for any table: without a terminal lines are not limited, so that tables keep the
# natural width of columns.
_PLAIN_WIDTH = 1000
_CUT = "\u2026"  # with which rich ends a word that it cuts


@dataclass
class _Channel:
    """The stream of documents (None: standard output), and whether one was printed."""

    stream: TextIO | None = None
    printed: bool = False


_channel = _Channel()


def console(stream: TextIO | None = None) -> Console:
    """Return the console for messages and progress: stderr (or a copy of it, `stream`); plain text
    without a terminal."""
    return _literal_console(stderr=True, file=stream, **_size(sys.stderr))


def results() -> Console:
    """Return the console for a command's result without `--json`: stdout, so that it can be piped;
    plain text without a terminal."""
    return _literal_console(**_size(sys.stdout))


def _size(stream: TextIO) -> dict[str, int]:
    """Return width and height of a stream, empty for terminals whose size rich reads itself: for
    `TERM=dumb` it takes 80 columns, whatever there are."""
    if not stream.isatty():
        return {"width": _PLAIN_WIDTH}
    if os.environ.get("TERM", "") in ("dumb", "unknown"):
        here = shutil.get_terminal_size()
        return {"width": here.columns, "height": here.lines}
    return {}


def _literal_console(**options: Any) -> Console:
    """Return a console that prints text as it is: names of classes, files and models may hold what
    rich takes for markup (`[/b]`) or emoji codes (`:cat:`), and a terminal for a command."""
    from rich.console import Console  # imported on use: `--help` stays fast
    from rich.text import Text

    class LiteralConsole(Console):
        def on_broken_pipe(self) -> None:
            """Leave a reader that is gone to `cli.main`, with its documented exit code."""
            raise BrokenPipeError

        def render_str(self, text: str, **options: Any) -> Text:
            """Render text, cells of tables too, with control characters escaped."""
            return super().render_str(printable(text), **options)

    return LiteralConsole(markup=False, emoji=False, highlight=False, **options)


def print_table(table: Table, out: Console) -> None:
    """Print a table; where the terminal is narrower than its words, a line for each cell instead,
    with its heading."""
    if table.row_count == 0 or _fits(table, out):
        out.print(table)
        return
    if table.title:
        out.print(table.title, style="italic")
    headings = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for heading, cell in zip(headings, row, strict=True):
            if str(cell):
                out.print(f"{heading}: {cell}" if heading else str(cell))
        out.print()


def _fits(table: Table, out: Console) -> bool:
    """Whether a console is as wide as a table's words, so that rich cuts none of them."""
    if out.measure(table, options=out.options.update(width=_PLAIN_WIDTH)).minimum > out.width:
        return False
    shown = "".join(part.text for line in out.render_lines(table) for part in line)
    own = (str(text) for each in table.columns for text in (each.header, *each.cells))
    return shown.count(_CUT) <= sum(text.count(_CUT) for text in own)


def escape_unencodable() -> None:
    """Have standard output escape what its encoding lacks (names of files that are no valid
    Unicode, box characters in a Latin-1 locale), as standard error always does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test may have put another in its place
            stream.reconfigure(errors="backslashreplace")


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
