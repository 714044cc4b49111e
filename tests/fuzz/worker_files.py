"""What a fuzzing process leaves in the cache: the number of its inputs, and its findings."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from tests.fuzz.artifacts import cache
from tests.fuzz.target import Finding


class Counter:
    """A number of inputs or processes, in a file that outlives a killed process."""

    def __init__(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size != 8:
            path.write_bytes(bytes(8))
        with path.open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), 8)

    def value(self) -> int:
        """Return the number so far."""
        return int(struct.unpack_from("<Q", self._memory)[0])

    def add(self) -> None:
        """Count one more."""
        struct.pack_into("<Q", self._memory, 0, self.value() + 1)


def keep(folder: Path, data: bytes, found: Finding) -> None:
    """Write a finding once: the input, and what happened."""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in found.place)[:100]
    if not (folder / f"{name}.txt").exists():
        (folder / f"{name}.input").write_bytes(data)
        (folder / f"{name}.txt").write_text(f"{found.text}\n{data[:2000]!r}\n")


def folder_of(target: str) -> Path:
    """Return the folder of a target's corpus, findings and count."""
    return cache() / target
