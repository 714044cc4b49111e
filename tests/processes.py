"""Which processes there are, as Linux's /proc shows them, and what they print."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may still wait for its parent to be notified."""
    return _state_and_parent(pid)[0] not in ("", "Z")


def children_of(parent: int) -> dict[int, str]:
    """Return the command line of each living child and grandchild, by its pid."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        state, found = _state_and_parent(int(folder.name))
        if state not in ("", "Z"):
            parents[int(folder.name)] = found
    children = {pid for pid, found in parents.items() if found == parent}
    children |= {pid for pid, found in parents.items() if found in children}
    return {pid: _command(pid) for pid in children}


def wait_until_ended(pids: Iterable[int], seconds: float) -> None:
    """Wait until processes have ended; fail if one is alive after some seconds."""
    deadline = time.monotonic() + seconds
    alive = set(pids)
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = {pid for pid in alive if is_alive(pid)}
    assert not alive, f"alive after {seconds:g} s: {[_command(pid) for pid in alive]}"


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def read_to_end(descriptor: int) -> bytes:
    """Return what comes from a pipe or a terminal until its other end is closed, and close it."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 1 << 16)
        except OSError:  # a terminal whose other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts)
