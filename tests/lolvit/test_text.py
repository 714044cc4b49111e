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


TABLES = {
    "semicolons": "0;Milan noir\n1;caf\u00e9, black\n2;tea",
    "tabs, numbers behind": "Milan noir\t0\ncaf\u00e9, black\t1\ntea\t2\n",
    "commas and quotes": 'id,name\r\n2,tea\r\n0,Milan noir\r\n1,"caf\u00e9, black"\r\n',
    "Excel's hint": "sep=;\nclass;label\n0;Milan noir;;\n1;caf\u00e9, black;;\n2;tea;;\n;;;\n",
    "one column": 'label\nMilan noir\n"caf\u00e9, black"\ntea\n',
    "one column, no heading": 'Milan noir\n"caf\u00e9, black"\ntea\n',
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_a_table_as_spreadsheets_save_it_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "labels.CSV"
    path.write_bytes(text.encode(encoding))
    assert read_labels(path, classes=3) == ("Milan noir", "caf\u00e9, black", "tea")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("l.csv", b"0;a\n2;b\n", "is no table of labels, nor of class numbers from 0 on beside"),
        ("l.csv", b"0;a;x\n1;b;y\n", "is no table of labels"),
        ("l.csv", b"0;a\n1;b\n2;c\n", "has 3 labels, the model 2 classes"),
        ("l.csv", b"", "is no table of labels"),
        ("l.csv", b'"' + b"a" * 200_000, "field larger than field limit"),
        (
            "l.xlsx",
            b"PK\x03\x04\x14\0",
            "it is an Excel file or another zip archive, not text; save",
        ),
        ("l.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "it is an old Excel file, not text"),
        ("l.txt", b"PK\x03\x04", "an Excel file or another zip archive"),
    ],
)
def test_a_table_that_has_no_labels_is_one_line(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_labels(tmp_path / name, classes=2)
    assert "\n" not in caught.value.line()
