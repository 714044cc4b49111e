"""One phone, by the `adb` program: commands, files, and each failure on the way as one line."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android.quoting import remote_command, split_exit_code

Hear = Callable[[str], None]

INSTALL_ADB = (
    "install Android's platform tools: apt install adb, brew install android-platform-tools, "
    "or from developer.android.com/tools/releases/platform-tools"
)
COMMAND_S = 10.0
_POLL_S = 0.2  # how soon a stop is heard
_MOST_OUTPUT = 16 << 20  # bytes: a phone that prints more is broken
_FULL = "No space left on device"


class NoAnswerError(DeviceError):
    """A command did not end in time."""


class StoppedError(Exception):
    """The run was asked to stop while adb was working."""


@dataclass(frozen=True)
class Done:
    """What a program on the phone printed to its standard output and error, and its exit code."""

    code: int
    output: str
    errors: str = ""


@dataclass(frozen=True)
class Adb:
    """A phone by its serial; setting `stop` ends whatever adb is doing with StoppedError."""

    serial: str
    program: str
    stop: threading.Event = field(default_factory=threading.Event)

    def unstoppable(self) -> Adb:
        """Return the same phone for cleaning up, which a stop doesn't end."""
        return replace(self, stop=threading.Event())

    def state(self) -> str:
        """Return `device` if the phone answers, or adb's word why not: offline, unauthorized,
        not attached."""
        code, output, errors = self._twice(["get-state"], COMMAND_S)
        if code == 0:
            return output.strip()
        return next(
            (word for word in ("unauthorized", "offline") if word in errors), "not attached"
        )

    def shell(self, words: Sequence[str], timeout_s: float = COMMAND_S) -> Done:
        """Run a program on the phone, by `words`, none of which its shell interprets. It is to be
        one that can be run twice.

        Raises:
            DeviceError: the phone was lost, or gave no answer in time.
        """
        return self._done(words, self._twice(["shell", remote_command(words)], timeout_s))

    def follow(self, words: Sequence[str], hear: Hear, timeout_s: float) -> Done:
        """As `shell`, once; `hear` gets each line of the output as it comes.

        Raises:
            DeviceError: the phone was lost, or gave no answer in time.
        """
        return self._done(words, self._adb(["shell", remote_command(words)], timeout_s, hear))

    def _done(self, words: Sequence[str], said: tuple[int, str, str]) -> Done:
        _, text, errors = said
        output, code = split_exit_code(text)
        if code is None:
            raise self._lost(errors or f"'{words[0]}' ended without its exit code")
        return Done(code, output, errors)

    def push(self, local: Path, remote: str, timeout_s: float) -> None:
        """Copy a file to the phone.

        Raises:
            UserError: the phone is full.
            DeviceError: it was lost or refused the file.
        """
        self._transfer(["push", str(local.resolve()), remote], timeout_s)

    def pull(self, remote: str, local: Path, timeout_s: float = COMMAND_S) -> None:
        """Copy a file from the phone.

        Raises:
            DeviceError: it was lost or has no such file.
        """
        self._transfer(["pull", remote, str(local.resolve())], timeout_s)

    def reconnect(self, within_s: float) -> bool:
        """Wait for a phone that was lost; return whether it answers again."""
        deadline = time.monotonic() + within_s
        while self.state() != "device":
            if time.monotonic() > deadline:
                return False
            if ":" in self.serial:  # over a network: adb itself tries again after seconds only
                self._adb(["disconnect", self.serial], COMMAND_S, to_phone=False)
                self._adb(["connect", self.serial], COMMAND_S, to_phone=False)
            self.stop.wait(_POLL_S)
        return True

    def _transfer(self, arguments: list[str], timeout_s: float) -> None:
        code, output, errors = self._twice(arguments, timeout_s)
        if code == 0:
            return
        said = f"{errors} {output}"
        if _FULL in said:
            raise full(self.serial)
        if self.state() != "device":
            raise self._lost(said)
        raise DeviceError(f"adb {arguments[0]}: {_last_line(said)}")

    def _twice(self, arguments: list[str], timeout_s: float) -> tuple[int, str, str]:
        """As `_adb`, a second time where no answer came: adb 29 was seen to hang once in a thousand
        calls, before the phone had heard of the call."""
        try:
            return self._adb(arguments, timeout_s)
        except NoAnswerError:
            return self._adb(arguments, timeout_s)

    def _adb(
        self,
        arguments: list[str],
        timeout_s: float,
        hear: Hear = lambda line: None,
        *,
        to_phone: bool = True,
    ) -> tuple[int, str, str]:
        """Return adb's exit code, output and errors."""
        command = [self.program, *(["-s", self.serial] if to_phone else []), *arguments]
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # a Ctrl-C is for us to handle, in order
            )
            try:
                output = self._read(process, timeout_s, hear)
                code = process.wait()
            finally:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()
            complaints.seek(0)
            return code, output, complaints.read(_MOST_OUTPUT).decode(errors="replace").strip()

    def _read(self, process: subprocess.Popen[bytes], timeout_s: float, hear: Hear) -> str:
        """Read to the end, or raise where that takes too long or is too much."""
        assert process.stdout is not None
        lines, deadline = _Lines(hear), time.monotonic() + timeout_s
        while not _take(process.stdout, lines):
            if self.stop.is_set():
                raise StoppedError
            if time.monotonic() > deadline:
                raise NoAnswerError(
                    f"no answer within {timeout_s:g} s",
                    remedy="look at the cable and at the phone's screen",
                )
            if lines.count > _MOST_OUTPUT:
                raise DeviceError("printed without an end")
        return lines.text()

    def _lost(self, said: str) -> DeviceError:
        return DeviceError(
            f"the phone was lost ({_last_line(said)})",
            remedy="look at the cable; the same command goes on where it was",
        )


def find_adb() -> str:
    """Return the path of the adb program.

    Raises:
        UserError: there is none on the PATH.
    """
    path = shutil.which("adb")
    if path is None:
        raise UserError("adb is not on the PATH", remedy=INSTALL_ADB)
    return path


def full(serial: str, needed: int | None = None, free: int | None = None) -> UserError:
    """Return the failure of a phone without space, in bytes where they are known."""
    figures = f": {needed / 1e6:.1f} MB needed" if needed is not None else ""
    figures += f", {free / 1e6:.1f} MB free" if free is not None else ""
    return UserError(
        f"the phone's storage is full{figures}",
        where=f"adb:{serial}",
        remedy="free space on the phone",
    )


class _Lines:
    """Output as it arrives: whole lines are passed on."""

    def __init__(self, hear: Hear) -> None:
        self._hear, self._parts, self._rest, self.count = hear, [b""], b"", 0

    def add(self, part: bytes) -> None:
        self.count += len(part)
        self._parts.append(part)
        *whole, self._rest = (self._rest + part).split(b"\n")
        for line in whole:
            self._hear(line.decode(errors="replace").rstrip("\r"))

    def text(self) -> str:
        return b"".join(self._parts).decode(errors="replace")


def _take(stream: IO[bytes], lines: _Lines) -> bool:
    """Wait a moment for output and add what came; return whether the stream is at its end."""
    readable, _, _ = select.select([stream], [], [], _POLL_S)
    if not readable:
        return False
    part = os.read(stream.fileno(), 1 << 16)
    lines.add(part)
    return not part


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
