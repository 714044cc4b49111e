"""Check an `.aimodel` folder in Python, before native code reads it: Apple's reader ends the
process on a program that is cut short.

The folder has the program as MLIR bytecode (`main.mlirb`), its sha256 (`main.hash`, 32 bytes) and
`metadata.json`. Only the first two are checked: what else a later version of the format writes does
not matter here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from lolvit.errors import DeviceError

PROGRAM_NAME = "main.mlirb"
_HASH_NAME = "main.hash"
_MAGIC = b"ML\xefR"  # of MLIR bytecode


def check_asset(path: Path) -> Path:
    """Return the path of the program, once it has been checked.

    Raises:
        DeviceError: it is not a Core AI model, or its program is incomplete or was changed.
    """
    program, digest = path / PROGRAM_NAME, path / _HASH_NAME
    for file in (program, digest):
        if not file.is_file() or not file.resolve().is_relative_to(path.resolve()):
            raise broken(path, f"not a Core AI model: it has no {file.name}")
    try:
        data, stated = program.read_bytes(), digest.read_bytes()
    except OSError as error:
        raise broken(path, f"it cannot be read: {error.strerror}") from error
    if not data.startswith(_MAGIC):
        raise broken(path, f"its {PROGRAM_NAME} is not a program")
    if hashlib.sha256(data).digest() != stated:
        raise broken(path, f"its {PROGRAM_NAME} does not match {_HASH_NAME}: it was cut or changed")
    return program


def broken(path: Path, what: str) -> DeviceError:
    """Return the error for an invalid artifact."""
    return DeviceError(what, where=str(path), remedy="export again")
