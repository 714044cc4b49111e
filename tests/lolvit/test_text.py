"""Text files as editors on other systems write them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from lolvit.errors import UserError
from lolvit.labels import read_labels

NAMES = ("Milan noir", "café", "two\u2028halves")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
@pytest.mark.parametrize("last", ["", "\n", "\n\n"])
def test_labels_are_read_in_any_unicode_encoding_and_with_any_line_end(
    tmp_path: Path, mark: bytes, encoding: str, ending: str, last: str
) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(mark + ("\n".join(NAMES) + last).replace("\n", ending).encode(encoding))
    assert read_labels(path, classes=3) == NAMES


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("tea\ncafé\n".encode("cp1252"), "line 2 is not UTF-8; save it as UTF-8"),
        (b"tea\n\ncoffee\n", "line 2 is empty"),
        (b"", "has 0 labels"),
    ],
)
def test_labels_that_cannot_be_read_are_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_labels(path, classes=2)
