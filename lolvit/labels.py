"""Class names from a text file, one per line in the order of the classes, or from a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lolvit.errors import UserError
from lolvit.text import read_lines, read_text

_TABLES = (".csv", ".tsv")
_REMEDY = "write one label per line, in the order of the classes"


def read_labels(path: Path | None, classes: int | None) -> tuple[str, ...] | None:
    """Return the labels; None if no file is given. `classes` is the expected number, if known.

    A `.csv` or `.tsv` file, as spreadsheets save it with `,`, `;` or tabs, has the labels alone, or
    the number of each class beside its label, in any order; a line of headings is passed over.

    Raises:
        UserError: the file cannot be read, or has another number of labels than there are classes.
    """
    if path is None:
        return None
    table = path.suffix.lower() in _TABLES
    labels = _from_table(path, classes) if table else read_lines(path, "labels")
    if classes is not None and len(labels) != classes:
        raise UserError(
            f"has {len(labels)} labels, the model {classes} classes",
            where=str(path),
            remedy=_REMEDY,
        )
    return tuple(labels)


def read_values(path: Path) -> dict[int, str]:
    """Return the labels of a table by the values beside them, 0 to 255, in the order of its rows; a
    line of headings is passed over.

    Raises:
        UserError: the file cannot be read, is no such table, or has a value twice.
    """
    rows = _rows(path)
    body = rows[1:] if rows and not any(cell.isdecimal() for cell in rows[0]) else rows
    try:
        found = [(int(value), name) for value, name in body]
        if not all(0 <= value <= 255 for value, _ in found) or len(dict(found)) != len(found):
            raise ValueError
    except ValueError as error:
        raise UserError(
            "is no table of values from 0 to 255, each once, beside labels", where=str(path),
            remedy="write a line value,label for each class",
        ) from error  # fmt: skip
    return dict(found)


def _from_table(path: Path, classes: int | None) -> list[str]:
    rows = _rows(path)
    widths = {len(row) for row in rows}
    if widths == {1}:
        names = [row[0] for row in rows]
        return names[1:] if classes is not None and len(names) == classes + 1 else names
    if widths == {2}:
        for body in (rows, rows[1:]):
            for number, name in ((0, 1), (1, 0)):
                found = {row[number]: row[name] for row in body}
                if body and set(found) == {str(place) for place in range(len(body))}:
                    return [found[str(place)] for place in range(len(body))]
    raise UserError(
        "is no table of labels, nor of class numbers from 0 on beside labels",
        where=str(path),
        remedy=_REMEDY,
    )


def _rows(path: Path) -> list[list[str]]:
    """Return the cells of each row that has any, without empty cells at the end.

    Raises:
        UserError: the file is not text, or not a table.
    """
    text = read_text(path, "labels")
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first) == 5:  # a hint for Excel
        delimiter, text = first[4], rest
    else:
        counts = {each: first.count(each) for each in ";\t,"}
        delimiter = max(counts, key=lambda each: counts[each])
    try:
        rows = [
            [" ".join(cell.split()) for cell in row]
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        ]
    except csv.Error as error:
        raise UserError(f"labels: {error}", where=str(path), remedy=_REMEDY) from error
    for row in rows:
        while row and not row[-1]:
            row.pop()
    return [row for row in rows if row]
