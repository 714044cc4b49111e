"""Atomic writes of files and folders: a killed process leaves either the old or the new one."""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lolvit.errors import UserError

# Error numbers of full, read-only or forbidden file systems. Other OSErrors in a block of work are
# not about writing its result.
WRITE_ERRNOS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
        errno.ENAMETOOLONG,
    }
)
_LONGEST_HINT = 100  # bytes of a name in that of its temporary file; a name has 255
_WRITING = re.compile(r"^\..*\.writing-(\d+)-[0-9a-f]{8}$")
FOLDER_ARTIFACTS = frozenset({".mlpackage", ".aimodel"})  # suffixes of artifacts that are folders


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` through a temporary file in the same folder and a rename; a killed
    process leaves at most a hidden `.NAME.writing-PID-*`, which another's first write into the
    folder removes.

    Raises:
        UserError: the folder is read-only or full; a previous file at `path` is untouched.
    """
    payload = data.encode() if isinstance(data, str) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_writes(path.parent)
        # not mkstemp: the file has the permissions that the user's umask gives
        temporary = path.parent / f".{_hint(path)}.writing-{os.getpid()}-{secrets.token_hex(4)}"
        stream = temporary.open("xb")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _hint(path: Path) -> str:
    """Return a path's name, or one for it alone that leaves room for more."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_HINT:
        return path.name
    return os.fsdecode(name[: _LONGEST_HINT - 17]) + "-" + hashlib.sha256(name).hexdigest()[:16]


@functools.cache  # once in each folder: what ended processes left does not become more
def _clear_writes(folder: Path) -> None:
    for path in list(folder.iterdir()):
        found = _WRITING.search(path.name)
        if found is not None and not _alive(int(found[1])):
            path.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"cannot write: {reason}", where=str(path), remedy="free space or choose another folder"
    )


def sha256_of(path: Path) -> str:
    """Return the sha256, in hex, of a file, or of a folder's sorted relative names and contents."""
    digest = hashlib.sha256()
    for member in _members(path):
        if path.is_dir():
            digest.update(member.relative_to(path).as_posix().encode() + b"\0")
        with member.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def size_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder."""
    return sum(member.stat().st_size for member in _members(path))


def _members(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(member for member in path.rglob("*") if member.is_file())


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield a staging folder beside `target` that replaces it if the block succeeds.

    A block that removes the staging folder leaves `target` as it is. Until the final rename the
    previous `target` is untouched; a killed process leaves at most a hidden `.NAME.staging-PID-*`
    folder, which the next call for the same target removes.

    Raises:
        UserError: the parent folder cannot be created or written, the disk is full, or `target` is
            not a folder.
    """
    target = Path(os.path.realpath(target))  # a link to a folder stays a link
    staging = _make_staging(target)
    try:
        yield staging
        if staging.exists():
            _swap(staging, target)
    except OSError as error:
        if error.errno not in WRITE_ERRNOS:
            raise
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _make_staging(target: Path) -> Path:
    try:
        if target.exists() and not target.is_dir():
            raise UserError("is not a folder", where=str(target), remedy="choose another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(target)
        name = f".{_hint(target)}.staging-{os.getpid()}-{secrets.token_hex(4)}"
        staging = target.parent / name
        staging.mkdir()
    except OSError as error:
        raise _cannot_write(target, error) from error
    return staging


def _clear_leftovers(target: Path) -> None:
    """Remove staging folders of ended processes; undo an incomplete swap of one."""
    for old in _besides(target, ".old-"):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, target)
    for staging in _besides(target, ".staging-"):
        pid = staging.name.split(".staging-", 1)[1].split("-")[0]
        if not (pid.isdigit() and _alive(int(pid))):
            shutil.rmtree(staging, ignore_errors=True)


def _besides(target: Path, what: str) -> Iterator[Path]:
    """Yield the hidden folders of a target of one kind; its name may hold what globs take for
    patterns."""
    prefix = f".{_hint(target)}{what}"
    yield from (path for path in list(target.parent.iterdir()) if path.name.startswith(prefix))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _swap(staging: Path, target: Path) -> None:
    """Replace `target` by `staging`, by an atomic exchange if the system supports it."""
    if not target.exists():
        try:
            os.rename(staging, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    # it was there, or another process has just made it
    if _exchange(staging, target):
        return
    old = target.parent / f".{_hint(target)}.old-{os.getpid()}"
    os.rename(target, old)
    os.rename(staging, target)
    shutil.rmtree(old, ignore_errors=True)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two paths by Linux's renameat2(2); False if it is not supported."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
