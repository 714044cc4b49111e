"""The border to native runtimes: their chatter stays off the terminal, a refusal is one line."""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit.manifest import TensorSpec
from lolvit_runtimes.session import FloatArray

LONGEST_REASON = 300
_STDERR = 2
_one_at_a_time = threading.Lock()  # file descriptor 2 belongs to the whole process


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what native code writes to standard error inside the block."""
    with _one_at_a_time, heard_stderr():
        yield


@contextmanager
def heard_stderr() -> Iterator[Callable[[], str]]:
    """Keep what native code writes to standard error inside the block, for the function that the
    block gets. For use inside of `quiet_stderr` or `opening`, which let one thread at a time."""
    with tempfile.TemporaryFile() as kept_back:
        sys.stderr.flush()
        kept = os.dup(_STDERR)
        os.dup2(kept_back.fileno(), _STDERR)

        def heard() -> str:
            kept_back.seek(0)
            return kept_back.read().decode(errors="replace")

        try:
            yield heard
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STDERR)
            os.close(kept)


def discard_stderr() -> None:
    """Discard what the process writes to standard error from here on."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)


@contextmanager
def opening(runtime: str, path: Path, refusals: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn a runtime's refusal of an artifact into a DeviceError; keep it quiet meanwhile."""
    try:
        with quiet_stderr():
            yield
    except refusals as error:
        raise DeviceError(f"{runtime} cannot open it: {reason(error)}", where=str(path)) from error


def reason(error: BaseException) -> str:
    """Return what an exception says, shortened to part of one line."""
    text = str(error) or type(error).__name__
    return textwrap.shorten(text, LONGEST_REASON, placeholder=" ...")


def expect_spec(path: Path, what: str, spec: TensorSpec, shape: object, dtype: str) -> None:
    """Check that a tensor of an opened artifact is what its manifest says.

    Raises:
        DeviceError: shape or element type differ.
    """
    found = tuple(shape) if isinstance(shape, (list, tuple)) else shape
    if found != spec.shape or dtype != spec.dtype:
        raise DeviceError(
            f"its {what} is {dtype} {found}, its manifest says {spec.dtype} {spec.shape}",
            where=str(path),
            remedy="export again",
        )


def expect_image(image: FloatArray, spec: TensorSpec) -> None:
    """Check an input before native code copies it.

    Raises:
        DeviceError: its shape or element type is not the artifact's.
    """
    if image.shape != spec.shape or image.dtype != spec.dtype:
        raise DeviceError(
            f"input of {image.dtype} {image.shape}, the artifact takes {spec.dtype} {spec.shape}"
        )
