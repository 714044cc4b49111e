"""Class names from a text file, one per line in the order of the classes."""

from __future__ import annotations

from pathlib import Path

from lolvit.errors import UserError
from lolvit.text import read_lines


def read_labels(path: Path | None, classes: int | None) -> tuple[str, ...] | None:
    """Return the labels; None if no file is given. `classes` is the expected number, if known.

    Raises:
        UserError: the file cannot be read, or has another number of lines than there are classes.
    """
    if path is None:
        return None
    lines = read_lines(path, "labels")
    if classes is not None and len(lines) != classes:
        raise UserError(
            f"has {len(lines)} labels, the model {classes} classes",
            where=str(path),
            remedy="write one label per line, in the order of the classes",
        )
    return tuple(lines)
