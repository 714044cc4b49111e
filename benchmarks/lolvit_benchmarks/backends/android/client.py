"""One phone by the `adb` program: quoting, commands, files, and each failure as one line."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from lolvit.errors import DeviceError, UserError

OnLine = Callable[[str], None]

INSTALL_ADB = (
    "install Android's platform tools: apt install adb, brew install android-platform-tools, "
    "or from developer.android.com/tools/releases/platform-tools"
)
COMMAND_S = 10.0
_POLL_S = 0.2  # latency of a stop
_MAX_OUTPUT_BYTES = 16 << 20  # a phone that prints more is broken
_NO_SPACE = "No space left on device"  # as adb push reports it
_RESERVED_BYTES = 16 << 20  # Android misbehaves on a storage without free space
_MIN_BYTES_PER_S = 200_000  # of a transfer, for its timeout
_SPACE = re.compile(r"\s(\d{1,15})\s+(\d{1,15})\s+(\d{1,15})\s+\d{1,3}%\s")
_DIGEST = re.compile(r"^\\?([0-9a-f]{64})[ *]+(\S.*?)\r?$", re.MULTILINE)
# USB serials, emulator-5554, HOST:PORT, [::1]:PORT, names of mDNS services; no leading dash, which
# adb would take for an option.
_SERIAL = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:\-\[\]%()]{0,127}")
# The exit code is part of the output: `adb shell` itself exits with 0 before Android 7, and may do
# so when the connection is lost.
_EXIT_MARK = "lolvit-exit:"
_EXIT_CODE = re.compile(rf"{_EXIT_MARK}(\d{{1,3}})\r?\n\Z")


def validate_serial(text: str) -> str:
    """Return a serial that `adb devices` could list.

    Raises:
        UserError: it is not valid.
    """
    if not _SERIAL.fullmatch(text):
        raise UserError(
            f"'{text}' is not a valid adb serial", remedy="list the phones: lolvit devices"
        )
    return text


def remote_command(words: Sequence[str]) -> str:
    """Return a shell line that runs the program and arguments `words`, each quoted, and then prints
    the exit code.

    Raises:
        ValueError: a word holds a NUL byte, which no argument can contain.
    """
    if any("\0" in word for word in words):
        raise ValueError(f"a NUL byte in {words!r}")
    return f"{shlex.join(words)}; echo {_EXIT_MARK}$?"


def split_exit_code(output: str) -> tuple[str, int | None]:
    """Return a program's output and its exit code: None where the end is missing, as after a lost
    connection."""
    found = _EXIT_CODE.search(output)
    return (output[: found.start()], int(found[1])) if found else (output, None)


class AdbTimeoutError(DeviceError):
    """An adb command timed out."""


class StoppedError(Exception):
    """The run was asked to stop while adb was running."""


@dataclass(frozen=True)
class CommandResult:
    """Exit code, standard output and standard error of a program on the phone."""

    code: int
    output: str
    errors: str = ""


@dataclass(frozen=True)
class Adb:
    """A phone by its serial; setting `stop` makes the running adb call raise StoppedError."""

    serial: str
    program: str
    stop: threading.Event = field(default_factory=threading.Event)

    def without_stop(self) -> Adb:
        """Return the same phone for cleaning up, which a stop doesn't interrupt."""
        return replace(self, stop=threading.Event())

    def state(self) -> str:
        """Return `device` if the phone answers, else `offline`, `unauthorized` or `not
        attached`."""
        code, output, errors = self._with_retry(["get-state"], COMMAND_S)
        if code == 0:
            return output.strip()
        return next(
            (word for word in ("unauthorized", "offline") if word in errors), "not attached"
        )

    def shell(self, words: Sequence[str], timeout_s: float = COMMAND_S) -> CommandResult:
        """Run the program and arguments `words` on the phone, quoted. They have to be idempotent:
        they run again after a timeout.

        Raises:
            DeviceError: the connection was lost, or the command timed out.
        """
        return self._result(words, self._with_retry(["shell", remote_command(words)], timeout_s))

    def stream(self, words: Sequence[str], on_line: OnLine, timeout_s: float) -> CommandResult:
        """As `shell`, but run once; `on_line` is called with each line of the output as it arrives.

        Raises:
            DeviceError: the connection was lost, or the command timed out.
        """
        return self._result(words, self._adb(["shell", remote_command(words)], timeout_s, on_line))

    def _result(self, words: Sequence[str], printed: tuple[int, str, str]) -> CommandResult:
        _, text, errors = printed
        output, code = split_exit_code(text)
        if code is None:
            raise self._lost_error(errors or f"'{words[0]}' ended without its exit code")
        return CommandResult(code, output, errors)

    def push(self, local: Path, remote: str, timeout_s: float) -> None:
        """Copy a file to the phone.

        Raises:
            UserError: the phone is full.
            DeviceError: the connection was lost, or the phone rejected the file.
        """
        self._transfer(["push", str(local.resolve()), remote], timeout_s)

    def pull(self, remote: str, local: Path, timeout_s: float = COMMAND_S) -> None:
        """Copy a file from the phone.

        Raises:
            DeviceError: the connection was lost, or there is no such file.
        """
        self._transfer(["pull", remote, str(local.resolve())], timeout_s)

    def reconnect(self, within_s: float) -> bool:
        """Wait for a lost phone, in seconds; return whether it answers again."""
        deadline = time.monotonic() + within_s
        while self.state() != "device":
            if time.monotonic() > deadline:
                return False
            if ":" in self.serial:  # over a network adb itself retries only after seconds
                self._adb(["disconnect", self.serial], COMMAND_S, to_phone=False)
                self._adb(["connect", self.serial], COMMAND_S, to_phone=False)
            self.stop.wait(_POLL_S)
        return True

    def _transfer(self, arguments: list[str], timeout_s: float) -> None:
        code, output, errors = self._with_retry(arguments, timeout_s)
        if code == 0:
            return
        message = f"{errors} {output}"
        if _NO_SPACE in message:
            raise storage_full_error(self.serial)
        if self.state() != "device":
            raise self._lost_error(message)
        raise DeviceError(f"adb {arguments[0]}: {_last_line(message)}")

    def _with_retry(self, arguments: list[str], timeout_s: float) -> tuple[int, str, str]:
        """As `_adb`, repeated once after a timeout: adb 29 was seen to hang once in a thousand
        calls, before the call had reached the phone."""
        try:
            return self._adb(arguments, timeout_s)
        except AdbTimeoutError:
            return self._adb(arguments, timeout_s)

    def _adb(
        self,
        arguments: list[str],
        timeout_s: float,
        on_line: OnLine = lambda line: None,
        *,
        to_phone: bool = True,
    ) -> tuple[int, str, str]:
        """Return adb's exit code, output and errors."""
        command = [self.program, *(["-s", self.serial] if to_phone else []), *arguments]
        with tempfile.TemporaryFile() as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is handled here, in order
            )
            try:
                output = self._read(process, timeout_s, on_line)
                code = process.wait()
            finally:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()
            stderr.seek(0)
            return code, output, stderr.read(_MAX_OUTPUT_BYTES).decode(errors="replace").strip()

    def _read(self, process: subprocess.Popen[bytes], timeout_s: float, on_line: OnLine) -> str:
        """Read to the end; raise on timeout or too much output."""
        assert process.stdout is not None
        lines, deadline = _LineBuffer(on_line), time.monotonic() + timeout_s
        while not _read_available(process.stdout, lines):
            if self.stop.is_set():
                raise StoppedError
            if time.monotonic() > deadline:
                raise AdbTimeoutError(
                    f"no answer within {timeout_s:g} s",
                    remedy="check the cable and the phone's screen",
                )
            if lines.count > _MAX_OUTPUT_BYTES:
                raise DeviceError(f"printed more than {_MAX_OUTPUT_BYTES >> 20} MB")
        return lines.text()

    def _lost_error(self, message: str) -> DeviceError:
        return DeviceError(
            f"the phone was lost ({_last_line(message)})",
            remedy="check the cable; the same command resumes the measurement",
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


def storage_full_error(
    serial: str, needed: int | None = None, free: int | None = None
) -> UserError:
    """Return the error of a phone without free space; sizes in bytes where known."""
    sizes = f": {needed / 1e6:.1f} MB needed" if needed is not None else ""
    sizes += f", {free / 1e6:.1f} MB free" if free is not None else ""
    return UserError(
        f"the phone's storage is full{sizes}",
        where=f"adb:{serial}",
        remedy="free space on the phone",
    )


class _LineBuffer:
    """Output as it arrives: complete lines are passed to `on_line`."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line, self._parts, self._rest, self.count = on_line, [b""], b"", 0

    def add(self, part: bytes) -> None:
        self.count += len(part)
        self._parts.append(part)
        *whole, self._rest = (self._rest + part).split(b"\n")
        for line in whole:
            self._on_line(line.decode(errors="replace").rstrip("\r"))

    def text(self) -> str:
        return b"".join(self._parts).decode(errors="replace")


def _read_available(stream: IO[bytes], lines: _LineBuffer) -> bool:
    """Add the output available within the poll interval; return whether the stream has ended."""
    readable, _, _ = select.select([stream], [], [], _POLL_S)
    if not readable:
        return False
    part = os.read(stream.fileno(), 1 << 16)
    lines.add(part)
    return not part


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


@dataclass(frozen=True)
class RemoteFile:
    """A local file, its sha256, and its path on the phone."""

    local: Path
    sha256: str
    remote: str
    mode: str = "644"

    @property
    def bytes(self) -> int:
        """Size of the local file."""
        return self.local.stat().st_size


def push_missing(adb: Adb, folder: str, files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Push the files that are missing on the phone or differ by sha256 into a folder that exists;
    return those that were pushed.

    Raises:
        UserError: the phone has too little free space.
        DeviceError: the connection was lost, or a pushed file has another sha256.
    """
    files = list({file.remote: file for file in files}.values())
    present = _digests(adb, files)
    missing = [file for file in files if present.get(file.remote) != file.sha256]
    needed, free = sum(file.bytes for file in missing), free_bytes(adb, folder)
    if missing and free is not None and needed + _RESERVED_BYTES > free:
        raise storage_full_error(adb.serial, needed + _RESERVED_BYTES, free)
    for file in missing:
        adb.push(file.local, file.remote, 30 + file.bytes / _MIN_BYTES_PER_S)
        adb.shell(["chmod", file.mode, file.remote])
    pushed = _digests(adb, missing)
    for file in missing:
        if pushed.get(file.remote) != file.sha256:
            raise DeviceError(
                f"{file.local.name} was corrupted by adb push",
                remedy="try another cable or port",
            )
    return missing


def _digests(adb: Adb, files: list[RemoteFile]) -> dict[str, str]:
    if not files:
        return {}
    return parse_digests(adb.shell(["sha256sum", *(file.remote for file in files)], 120).output)


def free_bytes(adb: Adb, folder: str) -> int | None:
    """Return the free space at a folder of the phone; None where `df` doesn't report it.

    Raises:
        DeviceError: the phone was lost.
    """
    return parse_free_bytes(adb.shell(["df", "-k", folder]).output)


def parse_free_bytes(text: str) -> int | None:
    """Return the free bytes that `df -k` prints for one path."""
    found = _SPACE.search(" ".join(text.split()) + " ")
    return int(found[3]) * 1024 if found else None


def parse_digests(text: str) -> dict[str, str]:
    """Return path and digest of each file that `sha256sum` lists."""
    return {path: digest for digest, path in _DIGEST.findall(text)}
