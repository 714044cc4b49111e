"""The names of classes that a data set numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lolvit.errors import UserError


def class_names(path: Path, labels: Sequence[int]) -> tuple[str, ...]:
    """Return one name a line of `path`, or the numbers themselves where there is no such file.

    Raises:
        UserError: a label is beyond the names, or there are fewer than two classes.
    """
    count = max(labels, default=-1) + 1
    names = _lines(path) if path.exists() else [str(number) for number in range(count)]
    if count > len(names):
        raise UserError(
            f"names {len(names)} classes, the labels go up to {count - 1}",
            where=str(path),
            remedy="write one name a line, in the order of the classes",
        )
    if len(set(labels)) < 2:
        raise UserError(
            "fewer than two classes have images",
            where=str(path.parent),
            remedy="give images of at least two",
        )
    return tuple(names)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"no labels: {error}", where=str(path), remedy="write it again") from error
