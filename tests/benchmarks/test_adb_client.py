"""Arguments reach a program on a phone unchanged, and only valid serials are accepted."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lolvit.errors import UserError
from lolvit_benchmarks.backends.android.client import (
    remote_command,
    split_exit_code,
    validate_serial,
)

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


def _shell(command: str) -> bytes:
    return subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout


@settings(max_examples=60)
@given(st.lists(WORDS, max_size=4))
def test_a_shell_interprets_no_word(words: list[str]) -> None:
    printed = _shell(remote_command(["printf", "%s\\0", "first", *words]))
    expected = b"".join(word.encode() + b"\0" for word in ["first", *words])
    assert printed == expected + b"lolvit-exit:0\n"


@pytest.mark.parametrize("word", ["; rm -rf /", "$(id)", "`id`", "a b", "'", '"', "*", "\n", "&"])
def test_a_path_with_shell_characters_stays_one_word(word: str) -> None:
    assert _shell(remote_command(["printf", "%s|", word])).startswith(f"{word}|".encode())


def test_the_exit_code_is_part_of_the_output() -> None:
    assert split_exit_code(_shell(remote_command(["false"])).decode()) == ("", 1)
    assert split_exit_code("half of an answ") == ("half of an answ", None)
    assert split_exit_code("lolvit-exit:0\nmore\nlolvit-exit:7\r\n") == ("lolvit-exit:0\nmore\n", 7)


def test_a_nul_byte_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="NUL"):
        remote_command(["echo", "a\0b"])


@pytest.mark.parametrize(
    "serial", ["R58M123ABC", "emulator-5554", "192.168.0.5:5555", "[fe80::1%wlan0]:5555",
               "adb-R3CN-x._adb-tls-connect._tcp."],
)  # fmt: skip
def test_serials_that_adb_lists_are_valid(serial: str) -> None:
    assert validate_serial(serial) == serial


@pytest.mark.parametrize("serial", ["", "-s", "a b", "a;b", "$(id)", "../x", "a\nb", "x" * 200])
def test_an_invalid_serial_is_rejected(serial: str) -> None:
    with pytest.raises(UserError, match="not a valid adb serial"):
        validate_serial(serial)
