"""What a parser must not do, reported by Python's audit events: start a process, connect to a host,
unpickle, compile source text, or open, change or remove a file outside of its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FORBIDDEN = frozenset(
    {
        "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
        "subprocess.Popen", "socket.connect", "socket.bind", "socket.sendto", "pickle.find_class",
        "ftplib.connect", "http.client.connect", "urllib.Request", "webbrowser.open",
    }
)  # fmt: skip
_OF_PATHS = frozenset(
    {
        "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate",
        "os.chmod", "os.chown", "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move",
        "shutil.copyfile", "shutil.unpack_archive", "tempfile.mkstemp", "tempfile.mkdtemp",
    }
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Modules are imported on use, and libraries read their own data and what the kernel reports.
_PLACES = (sys.prefix, sys.base_prefix, *filter(None, sys.path))
_LIBRARIES = (
    *{str(Path(place).resolve()) for place in _PLACES},
    "/usr/share", "/proc", "/sys", "/etc/localtime", "/dev/urandom", "/dev/null",
)  # fmt: skip


class ForbiddenError(BaseException):
    """A parser did what no file may make it do. Not an Exception, which parsers may catch."""


class _State:
    folder: str | None = None
    seen: str | None = None
    compiles = False
    installed = False


@contextmanager
def guarded(folder: Path, *, compiles: bool = False) -> Iterator[None]:
    """Watch this process while the block runs, which may compile text if `compiles`.

    Raises:
        ForbiddenError: something forbidden was attempted, even if the block caught the first error.
    """
    if not _State.installed:
        sys.addaudithook(_audit)  # for the life of the process
        _State.installed = True
    _State.folder, _State.seen = os.path.realpath(folder), None
    _State.compiles = compiles
    try:
        yield
    finally:
        _State.folder = None
    if _State.seen is not None:
        raise ForbiddenError(_State.seen)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    folder = _State.folder
    if folder is None:
        return
    if event in _FORBIDDEN or (event == "open" and _leaves(folder, arguments)):
        _report(event, arguments)
    elif event in _OF_PATHS:
        if any(not _inside(folder, path) for path in arguments if isinstance(path, (str, bytes))):
            _report(event, arguments)
    elif event == "compile" and not (_State.compiles or _importing()):
        _report(event, arguments)


def _importing() -> bool:
    """Whether a module is being imported, which compiles text of its own."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _report(event: str, arguments: tuple[Any, ...]) -> None:
    _State.folder = None  # the error's own path is not watched
    _State.seen = f"{event} {str(arguments)[:200]}"
    raise ForbiddenError(_State.seen)


def _leaves(folder: str, arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    if not isinstance(path, (str, bytes)):
        return False  # a descriptor that is open already
    if _inside(folder, path):
        return False
    writes = isinstance(flags, int) and bool(flags & _WRITING)
    return writes or not os.path.realpath(os.fsdecode(path)).startswith(_LIBRARIES)


def _inside(folder: str, path: str | bytes) -> bool:
    found = os.path.realpath(os.fsdecode(path))
    return found == folder or found.startswith(folder + os.sep)
