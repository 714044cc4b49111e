"""Text that users bring: names to print or to put into documents and source code, and files in the
encodings that editors write."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

from lolvit.errors import UserError, printable

__all__ = [
    "kotlin_string",
    "markdown",
    "one_line",
    "printable",
    "read_lines",
    "read_text",
    "visible",
]

# Control characters, and those that show nothing but change what other characters look like: marks
# of direction, line separators, zero-width ones. Spaces of any width stay.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
# What Markdown takes for markup anywhere in a line: emphasis at a word's edge, code, links, HTML,
# cells of a table.
_MARKUP = re.compile(r"[\\`*\[\]|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")

_NO_TEXT = {
    b"PK\x03\x04": "an Excel file or another zip archive", b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF-": "a PDF", b"{\\rtf": "rich text",
}  # fmt: skip
# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def one_line(text: str) -> str:
    """Return a name as `printable` does, with its line feeds and tabs escaped too: in a table or a
    list it takes one line, and can't pass for several entries."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def visible(text: str) -> str:
    """Return text for a page or another document: line feeds and tabs stay, other characters that
    can't be seen are escaped as `printable` does."""
    return _INVISIBLE.sub(lambda found: printable(found[0]), text)


def markdown(text: str) -> str:
    """Return text as one line of Markdown in which nothing is markup or HTML."""
    line = " ".join(visible(text).split()).replace("&", "&amp;")
    return _MARKUP.sub(r"\\\g<0>", line).replace("<", "&lt;").replace(">", "&gt;")


def kotlin_string(text: str) -> str:
    """Return text as a string literal of Kotlin, in which `$` begins a template."""
    return json.dumps(text).replace("$", "\\$").replace("\\f", "\\u000c")


def read_text(path: Path, what: str) -> str:
    """Return the text of a file in UTF-8, or as its byte order mark says (Windows' "Unicode" is
    UTF-16), with each line ended by a line feed.

    Args:
        what: what the file holds, for messages.

    Raises:
        UserError: it can't be read, or has no mark and is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{what} cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="check the path",
        ) from error
    if (
        kind := next((k for head, k in _NO_TEXT.items() if data.startswith(head)), None)
    ) is not None:
        raise UserError(
            f"{what} cannot be read: it is {kind}, not text", where=str(path),
            remedy="save it as text or CSV, in UTF-8",
        )  # fmt: skip
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{what} cannot be read: line {line} is not {encoding.removesuffix('-sig').upper()}",
            where=str(path),
            remedy="save it as UTF-8",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path, what: str) -> list[str]:
    """Return the lines of a text file (see `read_text`) without white space at their ends, and
    without empty lines after the last one.

    Raises:
        UserError: it can't be read, or an empty line stands before others.
    """
    # not splitlines(): a name may hold characters such as U+2028, at which that splits
    lines = [line.strip() for line in read_text(path, what).rstrip().split("\n")]
    if lines == [""]:
        return []
    if "" in lines:
        raise UserError(
            f"{what}: line {lines.index('') + 1} is empty", where=str(path), remedy="remove it"
        )
    return lines


def or_dash(value: float | None, form: str) -> str:
    """Return a formatted value, or a dash for None."""
    return "–" if value is None else form.format(value)
