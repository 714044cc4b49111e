"""Error types, each with the exit code of the command line.

A `LolvitError` is a failure that a user causes or can act on; it is printed as one line without a
traceback. Any other exception is an internal error and keeps its traceback.
"""

from __future__ import annotations

import errno

EXIT_DONE = 0
EXIT_GATE_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_DEVICE_FAILED = 3
EXIT_BUG = 70

LONGEST_PART = 2000  # characters
# torch raises a special type for GPU memory only; the last is the dynamic linker's message for a
# library that it can't map.
_NO_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA out of memory",
    "failed to map segment from shared object",
)


def printable(text: str) -> str:
    """Return text with control characters and bytes that are not valid Unicode escaped (`\\x1b`,
    `\\xe9`), as a terminal can show it; a name of a user's file or class may hold them."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name, as os.fsdecode keeps it
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class LolvitError(Exception):
    """A failure with a message of one line: what is wrong, where, and the remedy."""

    exit_code = EXIT_USER_ERROR

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        self.result: object | None = None  # what there is all the same, where a part failed
        super().__init__(self.line())

    def line(self) -> str:
        """Return the message as one line: `printable`, without line breaks, a part that quotes a
        file cut after `LONGEST_PART` characters."""
        what = _shortened(self.what)
        text = f"{_shortened(self.where)}: {what}" if self.where else what
        if self.remedy:
            text = f"{text}; {_shortened(self.remedy)}"
        return " ".join(text.split())


def _shortened(part: str) -> str:
    shown = printable(part[: LONGEST_PART + 1])
    return shown if len(shown) <= LONGEST_PART else f"{shown[:LONGEST_PART]} …"


class UserError(LolvitError):
    """The user's input is invalid: exit code 2."""


class MissingExtraError(UserError):
    """An optional dependency is not installed: exit code 2, with the command to install it."""

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the extra '{extra}', which is not installed",
            remedy=f"run: pip install 'lolvit[{extra}]'",
        )
        self.extra = extra


class GateFailedError(LolvitError):
    """A verification, lint or speedup gate was not met: exit code 1."""

    exit_code = EXIT_GATE_FAILED


class DeviceError(LolvitError):
    """A device or a runtime failed, crashed or timed out: exit code 3."""

    exit_code = EXIT_DEVICE_FAILED


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, torch or the dynamic linker says that memory ran out."""
    if isinstance(error, OSError):  # also of an import that can't list a package's folder
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError | ImportError):
        return any(words in str(error) for words in _NO_MEMORY)
    return isinstance(error, MemoryError)
