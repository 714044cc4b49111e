"""Files onto a phone: only those that are missing there or differ, and each checked after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit_benchmarks.backends.android.client import Adb, full
from lolvit_benchmarks.backends.android.phone import free_bytes
from lolvit_benchmarks.backends.android.telemetry import parse_digests

_SPARE_BYTES = 16 << 20  # a phone whose storage is full to the last byte misbehaves
_SLOWEST_BYTES_PER_S = 200_000


@dataclass(frozen=True)
class Load:
    """A file of this computer, its sha256, and its path on the phone."""

    local: Path
    sha256: str
    remote: str
    mode: str = "644"

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.local.stat().st_size


def push_missing(adb: Adb, folder: str, loads: Iterable[Load]) -> list[Load]:
    """Bring files to the phone, into a folder that exists; return those that had to be sent.

    Raises:
        UserError: the phone has too little space.
        DeviceError: it was lost, or a file arrived damaged.
    """
    loads = list({load.remote: load for load in loads}.values())
    there = _digests(adb, loads)
    missing = [load for load in loads if there.get(load.remote) != load.sha256]
    needed, free = sum(load.bytes for load in missing), free_bytes(adb, folder)
    if missing and free is not None and needed + _SPARE_BYTES > free:
        raise full(adb.serial, needed + _SPARE_BYTES, free)
    for load in missing:
        adb.push(load.local, load.remote, 30 + load.bytes / _SLOWEST_BYTES_PER_S)
        adb.shell(["chmod", load.mode, load.remote])
    arrived = _digests(adb, missing)
    for load in missing:
        if arrived.get(load.remote) != load.sha256:
            raise DeviceError(
                f"{load.local.name} arrived on the phone damaged",
                remedy="try another cable or port",
            )
    return missing


def _digests(adb: Adb, loads: list[Load]) -> dict[str, str]:
    if not loads:
        return {}
    return parse_digests(adb.shell(["sha256sum", *(load.remote for load in loads)], 120).output)
