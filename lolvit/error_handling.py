"""Convert what can end a run early (signals, a full disk, a missing package, wrong options) to a
`LolvitError` with one line. Any other exception is an internal error."""

from __future__ import annotations

import _thread
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from lolvit.errors import DeviceError, LolvitError, UserError, is_out_of_memory
from lolvit.extras import missing_extra
from lolvit.files import WRITE_ERRNOS

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

EXIT_SIGNAL = 128  # plus the signal's number, as shells report it
EXIT_BROKEN_PIPE = EXIT_SIGNAL + signal.SIGPIPE


_OUT_OF_MEMORY = DeviceError(
    "out of memory", remedy="close other programs, or use a smaller size or batch"
)
# The signals that were raised as exceptions. C code turns those into exceptions of its own: a
# module that pybind11 initializes ends in "ImportError: initialization failed".
_received: list[int] = []


class StoppedError(LolvitError):
    """A signal ended the run: exit code 128 plus its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}, nothing half-written is left")
        self.exit_code = EXIT_SIGNAL + number


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP; unwinds the stack like Ctrl-C, so that cleanup runs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise `Terminated` inside the block on SIGTERM and SIGHUP, unless ignored (nohup), and
    `KeyboardInterrupt` on SIGINT, as Python does. Python prints and drops an exception that is
    raised while a finalizer or another callback of C code runs: a stop is raised again then."""
    defaults = {
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGINT: signal.default_int_handler,
    }
    former = {n: signal.getsignal(n) for n, each in defaults.items() if signal.getsignal(n) == each}
    for number in former:
        signal.signal(number, _raise_stop)
    former_hook, sys.unraisablehook = sys.unraisablehook, _raise_again
    _received.clear()
    try:
        yield
    finally:
        sys.unraisablehook = former_hook
        for number, handler in former.items():
            signal.signal(number, handler)


def _raise_again(dropped: UnraisableHookArgs) -> None:
    error = dropped.exc_value
    if not isinstance(error, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    number = error.number if isinstance(error, Terminated) else signal.SIGINT
    # not here, where it would be dropped once more
    again = threading.Timer(0.05, _thread.interrupt_main, (number,))
    again.daemon = True
    again.start()


def _raise_stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)


def to_lolvit_error(error: BaseException) -> LolvitError | None:
    """Return the error to report to the user, or None if `error` is an internal error."""
    match error:
        case LolvitError():
            return error
        case click.ClickException():
            return _wrong_usage(error)
        case Terminated():
            return StoppedError(error.number)
        case KeyboardInterrupt() | click.Abort():
            return StoppedError(signal.SIGINT)
        case _ if is_out_of_memory(error):
            return _OUT_OF_MEMORY
        case ModuleNotFoundError():
            return missing_extra(error)
        case OSError() if error.errno in WRITE_ERRNOS:
            return _of_the_file_system(error)
    # Libraries report a full disk as their own exceptions, with the system's message inside.
    full = os.strerror(errno.ENOSPC)
    if full in str(error):
        return _cannot_write(full, None)
    return StoppedError(_received[0]) if _received else None


def _of_the_file_system(error: OSError) -> UserError:
    if error.errno == errno.ENAMETOOLONG:  # in reading too
        where = str(error.filename or "")
        return UserError("the name is too long", where=where, remedy="choose a shorter one")
    return _cannot_write(error.strerror or str(error), error.filename)


def _cannot_write(reason: str, path: object) -> UserError:
    if path is None:  # a library did not say which: loader workers share memory in /dev/shm
        remedy = "free space in the output folder, that of temporary files and /dev/shm"
        return UserError(f"cannot write: {reason}", remedy=remedy)
    return UserError(
        f"cannot write: {reason}", where=str(path), remedy="free space or choose another folder"
    )


def _wrong_usage(error: click.ClickException) -> UserError:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    remedy = f"see: {ctx.command_path if ctx else 'lolvit'} --help"
    if isinstance(error, click.NoSuchOption):
        near = f"did you mean '{error.possibilities[0]}'? " if error.possibilities else ""
        return UserError(f"unknown option '{error.option_name}'", remedy=near + remedy)
    return UserError(error.format_message().rstrip(". \n"), remedy=remedy)
