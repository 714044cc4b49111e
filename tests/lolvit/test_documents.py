"""JSON of untrusted files: strict, bounded, and the same to every reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.documents import DEEPEST, Frozen, parse_json, read_document
from lolvit.errors import UserError

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)  # fmt: skip


@given(_VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_what_json_allows_is_read(value: Any, encoding: str, ascii: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii).encode(encoding)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sha256": "a", "sha256": "b"}', "the key 'sha256' is repeated"),
        ('[{"a": 1, "b": {"c": 1, "c": 2}}]', "the key 'c' is repeated"),
        ('{"value": NaN}', "not a number"),
        ("[Infinity]", "not a number"),
        ("[-1e999]", "too large"),
        ('{"params": 9223372036854775808}', "an integer is too large"),
        ("[" + "9" * 5000 + "]", "."),
        (r'{"a": "\ud800"}', "surrogates"),
        (r'{"\udfff": 1}', "surrogates"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("{} {}", "Extra data"),
        ("", "Expecting value"),
    ],
    ids=lambda text: text[:24],
)
def test_what_readers_understand_differently_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text.encode())


def test_half_a_surrogate_in_the_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        parse_json(b'"\xed\xa0\x80"')


def test_a_hundred_levels_are_read() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST)


class Empty(Frozen):
    """A document without fields."""


def test_a_key_as_long_as_the_file_is_still_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(json.dumps({"k" * 1_000_000: 1}))
    with pytest.raises(UserError) as caught:
        read_document(path, Empty, kind="document", remedy="write it again")
    line = caught.value.line()
    assert len(line) < 5000 and line.endswith("wrote it, or write it again")
