"""What can go wrong, as types: each carries the exit code that the command line ends with.

A `LolvitError` is a failure that a user can cause or must act on; it prints as one line and never
as a traceback. Anything else that escapes a command is our own bug and keeps its traceback.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_GATE_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_DEVICE_FAILED = 3
EXIT_BUG = 70


class LolvitError(Exception):
    """A failure with one clear line: what is wrong, where, and what to do."""

    exit_code = EXIT_USER_ERROR

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        self.result: object | None = None  # what there is all the same, where a part failed
        super().__init__(self.line())

    def line(self) -> str:
        """Return the message as one line, whatever line breaks or control codes its parts carry:
        a file's name may hold any."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


class UserError(LolvitError):
    """The input is wrong: exit code 2."""


class MissingExtraError(UserError):
    """An optional part of the toolkit is not installed: exit code 2, and the command to add it."""

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
    """A device or a runtime failed, crashed or gave no answer: exit code 3."""

    exit_code = EXIT_DEVICE_FAILED
