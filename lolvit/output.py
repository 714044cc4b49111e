"""Output of commands: results on stdout (with `--json` one document, else tables and lines),
messages and progress on stderr."""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from lolvit.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
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


class Finished(str):
    """A message about what has just been done inside the current step of `step_progress`."""


@contextmanager
def step_progress() -> Iterator[Callable[[str], None]]:
    """Show the steps of a command, each given as it begins, on standard error.

    On a terminal the current step has a line that counts its seconds, and each finished one stays
    as a line with the seconds that it took. Elsewhere, and on a terminal that can't draw a line
    anew, each is a line as it begins, with the seconds since the start. It writes to a copy of
    standard error, because standard error itself is redirected while converters run.
    """
    copy = os.dup(sys.stderr.fileno())
    encoding = sys.stderr.encoding
    with open(copy, "w", encoding=encoding, errors="backslashreplace") as stream:
        out = console(stream)
        if not out.is_terminal or out.is_dumb_terminal:
            start = time.monotonic()
            yield lambda step: out.print(f"[{time.monotonic() - start:5.1f} s] {step}")
            return
        with _progress_line(out) as bar:
            steps = _Steps(out, bar)
            yield steps
            steps.end()


def _progress_line(out: Console) -> Progress:
    """Return the line of the current step: what turns, its seconds and its name."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    turning = SpinnerColumn("line" if out.options.ascii_only else "dots")
    columns = (turning, TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    # Its redirection would print the converters' own progress bars, although the descriptors of
    # standard output and error are redirected while converters run.
    return Progress(
        *columns, console=out, transient=True, refresh_per_second=4,
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip


class _Steps:
    """Draws the current step, and prints those that are finished."""

    def __init__(self, out: Console, bar: Progress) -> None:
        self._out, self._bar = out, bar
        self._task = bar.add_task("", total=None)
        self._current: str | None = None
        self._began = self._reported = time.monotonic()

    def __call__(self, step: str) -> None:
        """Begin a step, or print what was finished inside of one."""
        if isinstance(step, Finished):
            self._print(step, self._reported)
            return
        self.end()
        self._current, self._began = step, time.monotonic()
        self._bar.reset(self._task, description=printable(step))

    def end(self) -> None:
        """Print the current step with its time."""
        if self._current is not None:
            self._print(self._current, self._began)
        self._current = None

    def _print(self, text: str, since: float) -> None:
        self._reported = time.monotonic()
        self._out.print(f"{self._reported - since:6.1f} s  {text}")


def print_indented(text: str, out: Console) -> None:
    """Print a paragraph that is indented by four columns, also where it takes several lines."""
    from rich.padding import Padding

    out.print(Padding(text, (0, 0, 0, 4), expand=False))


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


def narrow(table: Table) -> Table:
    """Return a table without vertical lines, so that more of a narrow terminal is left to words."""
    from rich import box

    table.box, table.padding, table.pad_edge = box.SIMPLE_HEAD, (0, 1, 0, 0), False
    return table


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
