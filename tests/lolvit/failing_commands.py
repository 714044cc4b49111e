"""A command line whose commands fail in every way; run as a program by test_error_handling."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import time
from pathlib import Path

import click

from lolvit.commands import SECTIONS, CommandEntry
from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.files import staged_folder
from lolvit.output import print_json


def _raise(error: BaseException) -> None:
    raise error


def _print_then_fail() -> None:
    print_json({"gates": ["first"]})
    raise GateFailedError("gate 'first' failed")


def _chatter() -> None:
    """Print to standard output in the ways that libraries and child processes do."""
    print("python chatter")
    os.write(1, b"native chatter\n")
    os.system("echo child chatter")
    print_json({"answer": 42})


def _work_in_staging() -> None:
    """Wait inside a staged folder, for a signal to arrive."""
    with staged_folder(Path("target")) as staging:
        (staging / "half").write_text("half")
        print("staged", file=sys.stderr, flush=True)
        time.sleep(60)


class _Finalized:
    """Stops the process by a signal inside its finalizer, whose exceptions Python drops."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)
        for _ in range(1000):  # the handler runs between two of these
            pass


def _stop_in_finalizer(number: int) -> None:
    object_ = _Finalized(number)
    del object_
    for _ in range(600):
        time.sleep(0.1)


def _stop_in_a_module_of_c() -> None:
    """Is stopped while a module of C code initializes, which raises its own exception for that."""
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt as stop:
        raise ImportError("initialization failed") from stop


BODIES = {
    "user-error": lambda: _raise(UserError("bad\nvalue", where="x.onnx", remedy="use\nanother")),
    "gate-failed": lambda: _raise(GateFailedError("40 dB, threshold 100 dB")),
    "device-failed": lambda: _raise(DeviceError("no answer", where="adb:1")),
    "bug": lambda: _raise(KeyError("surprise")),
    "ctrl-c-in-finalizer": lambda: _stop_in_finalizer(signal.SIGINT),
    "sigterm-in-finalizer": lambda: _stop_in_finalizer(signal.SIGTERM),
    "sigterm-in-an-import": _stop_in_a_module_of_c,
    "ctrl-c": lambda: _raise(KeyboardInterrupt()),
    "memory": lambda: _raise(MemoryError()),
    "disk-full": lambda: _raise(OSError(errno.ENOSPC, "No space left on device", "out/a.onnx")),
    "library-disk-full": lambda: _raise(RuntimeError("write: No space left on device (28)")),
    "other-oserror": lambda: _raise(FileNotFoundError(errno.ENOENT, "gone", "x")),
    "missing-extra": lambda: importlib.import_module("psutil.not_there"),
    "missing-module": lambda: importlib.import_module("lolvit.not_there"),
    "sys-exit": lambda: sys.exit(3),
    "print-then-fail": _print_then_fail,
    "chatter": _chatter,
    "staging": _work_in_staging,
}


def _command(name: str) -> click.Command:
    options = [
        click.Option(["--json"], is_flag=True),
        click.Option(["--threads"], type=int),
        click.Option(["--size"], default="256"),
    ]
    return click.Command(name, callback=lambda **_: BODIES[name](), params=options)


def __getattr__(name: str) -> click.Command:
    return _command(name)


if __name__ == "__main__":
    sys.modules["failing_commands"] = sys.modules["__main__"]
    SECTIONS["Fail"] = {name: CommandEntry(f"failing_commands:{name}", "fails") for name in BODIES}

    from lolvit.cli import main

    sys.exit(main())
