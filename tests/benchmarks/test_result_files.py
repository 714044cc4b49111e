"""Result documents survive the disk, and wrong files are reported in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lolvit.errors import UserError
from lolvit_benchmarks.results.document import Document
from lolvit_benchmarks.results.files import as_text, new_path, read_result, save, save_latest
from tests.benchmarks import documents


def test_a_document_reads_back_equal(document: Document, tmp_path: Path) -> None:
    save(document, tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == document


def test_rows_of_numbers_take_one_line_each(document: Document) -> None:
    lines = as_text(document).splitlines()
    assert len(lines) < 250
    assert json.loads(as_text(document)) == document.model_dump(mode="json")


def test_text_that_looks_like_a_row_of_numbers_is_kept(tmp_path: Path) -> None:
    odd = documents.document(documents.result(notes=("a [ 1,  2 ] b", "[\n 3\n]")))
    save(odd, tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == odd


def test_runs_into_one_folder_never_share_a_file(tmp_path: Path) -> None:
    assert len({new_path(tmp_path) for _ in range(100)}) == 100


def test_the_latest_is_a_whole_copy(document: Document, tmp_path: Path) -> None:
    paths = [new_path(tmp_path) for _ in range(2)]
    interrupted = document.model_copy(update={"state": "interrupted"})
    save_latest(document, paths[0])
    latest = save_latest(interrupted, paths[1])
    assert read_result(latest) == interrupted
    assert [read_result(path) for path in paths] == [document, interrupted]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a result file"),
        (b"\xff\xfe", "not a result file"),
        (b"[" * 200_000, "not a result file"),
        (b"[]", "not a result of lolvit bench"),
        (b'{"schema_version": 1, "model": "x"}', "not a result of lolvit bench"),
        (
            b'{"kind": "lolvit-bench", "schema_version": 7}',
            "schema version 7, this lolvit reads 1 and 2",
        ),
        (b'{"kind": "lolvit-bench"}', "schema version None, this lolvit reads 1 and 2"),
        (b'{"kind": "lolvit-bench", "schema_version": 1}', "field 'state': Field required"),
    ],
)
def test_a_wrong_file_is_reported_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_result(path)
    assert message in caught.value.line()
    assert str(path) in caught.value.line()
    assert "\n" not in caught.value.line()


def test_a_missing_file_or_a_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match=r"no such file|not a result file"):
            read_result(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results", 0, "candidate", "median_ms"), -1.0),
        (("results", 0, "candidate", "samples"), []),
        (("results", 0, "candidate", "sample_block"), [0]),
        (("results", 0, "speedup", "ratio"), "fast"),
        (("results", 0, "surprise"), 1),
        (("state",), "done"),
    ],
)
def test_a_wrong_field_is_named(
    document: Document, tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    content = document.model_dump(mode="json")
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"(field|key) 'results\.0|field 'state'"):
        read_result(path)
