"""The border to native runtimes: their chatter stays off the terminal, a refusal is one line."""

from __future__ import annotations

import os
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit.manifest import TensorSpec
from lolvit_runtimes.session import Array

LONGEST_REASON = 300
_STDERR = 2
_one_at_a_time = threading.Lock()  # file descriptor 2 belongs to the whole process


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what native code writes to standard error inside the block."""
    with _one_at_a_time, captured_stderr():
        yield


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
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


Found = tuple[str, object, str]  # name, shape and element type as a runtime reports them


def expect_tensors(
    path: Path, what: str, specs: Sequence[TensorSpec], found: Sequence[Found]
) -> None:
    """Check that an opened artifact has the inputs or outputs (`what`) that its manifest states,
    in the order of their names in `found`.

    Raises:
        DeviceError: one is missing, or its shape or element type differ.
    """
    tensors = {name: (shape, dtype) for name, shape, dtype in found}
    for spec in specs:
        if spec.name not in tensors:
            raise _not_as_stated(path, f"it has no {what} '{spec.name}' but {_listed(tensors)}")
        shape, dtype = tensors[spec.name]
        sides = tuple(shape) if isinstance(shape, (list, tuple)) else shape
        if sides != spec.shape or dtype != spec.dtype:
            stated = f"its manifest says {spec.dtype} {spec.shape}"
            raise _not_as_stated(path, f"its {what} is {dtype} {sides}, {stated}")
    if len(found) != len(specs):
        raise _not_as_stated(
            path, f"it has {len(found)} {what}s, its manifest says {len(specs)}: {_listed(tensors)}"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _not_as_stated(path: Path, what: str) -> DeviceError:
    return DeviceError(what, where=str(path), remedy="export again")


def expect_inputs(inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
    """Check inputs before native code copies them.

    Raises:
        DeviceError: one is missing, or its shape or element type is not the artifact's.
    """
    for spec in specs:
        given = inputs.get(spec.name)
        if given is None:
            raise DeviceError(f"no input '{spec.name}': got {_listed(inputs)}")
        if given.shape != spec.shape or given.dtype != spec.dtype:
            raise DeviceError(
                f"input of {given.dtype} {given.shape}, the artifact takes {spec.dtype}"
                f" {spec.shape}"
            )
