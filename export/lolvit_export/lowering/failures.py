"""Distinguish a converter's failure from a bug of this package, and extract its reason."""

from __future__ import annotations

import re
import textwrap
import traceback

from lolvit.errors import LolvitError

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line \d+')
AT_OPERATION = "at operation"  # begins the note that a lowering adds to a converter's error
_PACKAGES = ("lolvit", "lolvit_export", "lolvit_runtimes", "lolvit_data")
# Patterns of the line in a converter's long message that gives the reason, most likely first.
_REASON_PATTERNS = (
    re.compile(rf"^{AT_OPERATION} .*"),
    re.compile(r"(No ONNX function found|No decompositions registered|not registered).*"),
    re.compile(r"Lowering not found.*"),
    re.compile(r"(PyTorch convert function for op|Unsupported fx node|unsupported op).*", re.I),
    re.compile(
        r"(failed to legalize|failed to export|cannot be converted|not implemented).*", re.I
    ),
    re.compile(r"(not supported|unsupported|illegal).*", re.I),
)
# torch's ONNX exporter: the exception behind its own, in a section of its message.
_SUMMARY = re.compile(r"^<class '(?:[\w.]*\.)?(?P<type>\w+)'>: (?P<reason>.+)")
_COLOR = re.compile(r"\x1b\[[\d;]*m")
_RAISED = re.compile(r"[\w.]*(Error|Exception): .")  # the last line of a traceback
_LONGEST = 240


def conversion_failure(error: Exception) -> str | None:
    """Return a converter's reason as one line; None if the error is not a converter's: a bug of
    this package, or an error that concerns all targets.

    A lowering in a child process fails with its traceback as the message.
    """
    if isinstance(error, (LolvitError, OSError, MemoryError)):
        return None
    text = str(error)
    inside = text if "Traceback (most recent call last)" in text else _formatted(error)
    files = [match["file"] for match in _FRAME.finditer(inside)]
    if not files or any(f"/{package}/" in files[-1] for package in _PACKAGES):
        return None
    return _reason(inside)


def _formatted(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _reason(text: str) -> str:
    lines = [line.strip() for line in _COLOR.sub("", text).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("raise ")]  # code in a traceback
    for rule in _REASON_PATTERNS:
        for line in lines:
            if match := rule.search(line):
                return _shortened(line if len(line) < _LONGEST else match[0])
    for line in lines:
        if match := _SUMMARY.match(line):
            return _shortened(f"{match['type']}: {match['reason']}")
    raised = [line for line in lines if _RAISED.match(line)]
    return _shortened((raised or lines)[-1])


def _shortened(line: str) -> str:
    return textwrap.shorten(line, _LONGEST, placeholder=" ...")
