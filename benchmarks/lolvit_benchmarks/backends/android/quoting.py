"""Words for a phone's shell, and names of phones: the one place where either is made safe."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from lolvit.errors import UserError

# USB serials, emulator-5554, HOST:PORT, [::1]:PORT, names of mDNS services; no leading dash, which
# adb would take for an option.
_SERIAL = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:\-\[\]%()]{0,127}")
# A command's exit code travels in its output: `adb shell` itself ends with 0 on phones of before
# Android 7, and may when the cable is lost.
_MARK = "lolvit-exit:"
_MARKED = re.compile(rf"{_MARK}(\d{{1,3}})\r?\n\Z")


def checked_serial(text: str) -> str:
    """Return a phone's serial as `adb devices` lists it.

    Raises:
        UserError: it can't be one.
    """
    if not _SERIAL.fullmatch(text):
        raise UserError(f"'{text}' is no serial of a phone", remedy="take one from: lolvit devices")
    return text


def remote_command(words: Sequence[str]) -> str:
    """Return the line for a phone's shell that runs a program with arguments, each of `words`
    reaching it as it is, and then prints the exit code.

    Raises:
        ValueError: a word holds a NUL byte, which no argument can.
    """
    if any("\0" in word for word in words):
        raise ValueError(f"a NUL byte in {words!r}")
    return f"{shlex.join(words)}; echo {_MARK}$?"


def split_exit_code(output: str) -> tuple[str, int | None]:
    """Return what a program printed, and its exit code: None where the end is missing, as it is
    when the cable was lost meanwhile."""
    found = _MARKED.search(output)
    return (output[: found.start()], int(found[1])) if found else (output, None)
