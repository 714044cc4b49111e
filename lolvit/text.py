"""Text that users bring: names to print, and files in the encodings that editors write."""

from __future__ import annotations

import codecs
from pathlib import Path

from lolvit.errors import UserError, printable

__all__ = ["printable", "read_lines", "read_text"]

# The longer mark first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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
