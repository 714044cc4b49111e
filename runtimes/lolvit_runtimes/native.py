"""Calls into native runtimes: captures their stderr, converts their exceptions to one-line errors,
and checks tensors against the manifest."""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lolvit.errors import DeviceError, UserError
from lolvit.manifest import TensorSpec
from lolvit_runtimes.session import Array

LONGEST_REASON = 300
_STDERR = 2
_lock = threading.Lock()  # file descriptor 2 belongs to the whole process


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what native code writes to standard error inside the block."""
    with _lock, captured_stderr():
        yield


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Redirect standard error, of native code too, to a temporary file inside the block; yield a
    function that returns what was captured so far. Use it inside of `quiet_stderr` or `opening`,
    which hold the lock."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        saved = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)

        def captured() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield captured
        finally:
            sys.stderr.flush()
            os.dup2(saved, _STDERR)
            os.close(saved)


def discard_stderr() -> None:
    """Discard what the process writes to standard error from here on."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)


@contextmanager
def opening(runtime: str, path: Path, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Convert a runtime's exceptions while it opens an artifact, and discard its stderr.

    Raises:
        DeviceError: one of `errors` was raised.
    """
    try:
        with quiet_stderr():
            yield
    except errors as error:
        raise DeviceError(f"{runtime} cannot open it: {reason(error)}", where=str(path)) from error


def native_path(path: Path) -> str:
    """Return a path for native code, which takes UTF-8 whatever the locale is.

    Raises:
        UserError: its bytes are not UTF-8.
    """
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(
            "its path is not UTF-8, as runtimes need it",
            where=str(path),
            remedy="rename or move it",
        ) from error


def reason(error: BaseException) -> str:
    """Return an exception's message, shortened to part of one line."""
    text = str(error) or type(error).__name__
    return textwrap.shorten(text, LONGEST_REASON, placeholder=" ...")


Found = tuple[str, object, str]  # name, shape and element type as a runtime reports them


def expect_tensors(
    path: Path, what: str, specs: Sequence[TensorSpec], found: Sequence[Found]
) -> None:
    """Check that an opened artifact's inputs or outputs (`what`) match its manifest, by name.

    Raises:
        DeviceError: one is missing, or its shape or element type differ.
    """
    tensors = {name: (shape, dtype) for name, shape, dtype in found}
    for spec in specs:
        if spec.name not in tensors:
            raise _mismatch(path, f"it has no {what} '{spec.name}' but {_listed(tensors)}")
        shape, dtype = tensors[spec.name]
        sides = tuple(shape) if isinstance(shape, (list, tuple)) else shape
        if sides != spec.shape or dtype != spec.dtype:
            stated = f"its manifest has {spec.dtype} {spec.shape}"
            raise _mismatch(path, f"its {what} '{spec.name}' is {dtype} {sides}, {stated}")
    if len(found) != len(specs):
        raise _mismatch(
            path, f"it has {len(found)} {what}s, its manifest has {len(specs)}: {_listed(tensors)}"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _mismatch(path: Path, what: str) -> DeviceError:
    return DeviceError(what, where=str(path), remedy="export again")


def expect_inputs(inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
    """Check inputs before native code copies them.

    Raises:
        DeviceError: one is missing, or its shape or element type is not the artifact's.
    """
    for spec in specs:
        given = inputs.get(spec.name)
        if given is None:
            raise DeviceError(f"input '{spec.name}' is missing: got {_listed(inputs)}")
        if given.shape != spec.shape or given.dtype != spec.dtype:
            raise DeviceError(
                f"input '{spec.name}' is {given.dtype} {given.shape}, the artifact takes"
                f" {spec.dtype} {spec.shape}"
            )
