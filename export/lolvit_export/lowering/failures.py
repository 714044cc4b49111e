"""Whether a lowering failed in its converter, and what the converter says."""

from __future__ import annotations

import re
import textwrap
import traceback

from lolvit.errors import LolvitError

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line \d+')
_PACKAGES = ("lolvit", "lolvit_export", "lolvit_runtimes", "lolvit_data")
# Of a converter's long messages, the lines that name what it cannot convert, the likeliest first.
_TELLING = (
    re.compile(r"(No ONNX function found|No decompositions registered|not registered).*"),
    re.compile(r"(PyTorch convert function for op|Unsupported fx node|unsupported op).*", re.I),
    re.compile(
        r"(failed to legalize|failed to export|cannot be converted|not implemented).*", re.I
    ),
    re.compile(r"(not supported|unsupported|illegal).*", re.I),
)
_LONGEST = 240


def conversion_failure(error: Exception) -> str | None:
    """Return what a converter says that it cannot convert, in one line; None where the failure is
    not a converter's: a bug of ours, or what concerns all targets.

    A lowering in a child process fails with its traceback as the message.
    """
    if isinstance(error, (LolvitError, OSError, MemoryError)):
        return None
    text = str(error)
    inside = text if "Traceback (most recent call last)" in text else _formatted(error)
    files = [match["file"] for match in _FRAME.finditer(inside)]
    if not files or any(f"/{package}/" in files[-1] for package in _PACKAGES):
        return None
    return _telling(inside)


def _formatted(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _telling(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for rule in _TELLING:
        for line in lines:
            if match := rule.search(line):
                return _shortened(line if len(line) < _LONGEST else match[0])
    return _shortened(lines[-1])


def _shortened(line: str) -> str:
    return textwrap.shorten(line, _LONGEST, placeholder=" ...")
