"""What the machine does while a measurement runs: read between blocks, never during a run."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from lolvit_benchmarks.analysis.quality import Conditions
from lolvit_benchmarks.harness.sysfs import Machine

_PROBE_INPUT = bytes(1 << 16)
_PROBE_REPEATS = 24


@dataclass(frozen=True)
class Reading:
    """One look at the machine, between blocks; None where it can't be read.

    `probe_us` is the time of a fixed piece of arithmetic (a hash of 64 KiB): it needs no sensor,
    and lengthens when the processor slows down or another guest shares its core. It is the median
    over the slots since the last reading: a processor's clock wanders by some percent within
    milliseconds, so that one moment would not tell of a block.
    """

    at_s: float
    probe_us: float
    frequency_mhz: float | None
    temperature_c: float | None
    throttle_events: int | None


@dataclass(frozen=True)
class _Used:
    """Processor seconds since start: of this process, of all, taken by the hypervisor."""

    at_s: float
    own: float
    busy: float
    stolen: float | None


@dataclass
class Watch:
    """Readings of one measurement; `cores` are those that it is pinned to, or all."""

    machine: Machine
    cores: Sequence[int]
    readings: list[Reading] = field(default_factory=list)
    _probes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start = _used()

    def probe(self) -> None:
        """Time the fixed arithmetic once, for the next reading; takes about 1 ms."""
        self._probes.append(_probe_us())

    def read(self) -> None:
        """Add a reading; takes about 2 ms."""
        self.probe()  # first: it wakes the core whose frequency is read next
        probes, self._probes = self._probes, []
        self.readings.append(
            Reading(
                at_s=time.perf_counter() - self._start.at_s,
                probe_us=statistics.median(probes),
                frequency_mhz=self.machine.frequency_mhz(self.cores),
                temperature_c=self.machine.temperature_c(),
                throttle_events=self.machine.throttle_events(self.cores),
            )
        )

    def conditions(self, *, interrupted: bool = False) -> Conditions:
        """Sum up what has happened since the watch began."""
        end = _used()
        wall = max(end.at_s - self._start.at_s, 1e-9)
        cores = os.cpu_count() or 1
        own, busy = end.own - self._start.own, end.busy - self._start.busy
        return Conditions(
            cores=cores,
            others_cores=max(0.0, busy - own) / wall,
            stolen_share=_stolen_share(self._start, end, wall * cores),
            frequency_change=_change([r.frequency_mhz for r in self.readings]),
            # The first reading has no block before it, so it is of one moment alone.
            probe_change=_change([r.probe_us for r in self.readings[1:]]),
            throttle_events=_rise([r.throttle_events for r in self.readings]),
            interrupted=interrupted,
        )


def _used() -> _Used:
    own, machine = psutil.Process().cpu_times(), psutil.cpu_times()
    # Guests' time is inside user's, waiting for disks is idle time.
    idle = machine.idle + getattr(machine, "iowait", 0.0)
    stolen: float | None = getattr(machine, "steal", None)
    apart = getattr(machine, "guest", 0.0) + getattr(machine, "guest_nice", 0.0) + (stolen or 0.0)
    return _Used(time.perf_counter(), own.user + own.system, sum(machine) - idle - apart, stolen)


def _stolen_share(start: _Used, end: _Used, core_seconds: float) -> float | None:
    if start.stolen is None or end.stolen is None:
        return None
    return max(0.0, end.stolen - start.stolen) / core_seconds


def _probe_us() -> float:
    times = []
    for _ in range(_PROBE_REPEATS):
        start = time.perf_counter_ns()
        hashlib.sha256(_PROBE_INPUT).digest()
        times.append(time.perf_counter_ns() - start)
    return min(times) / 1000


def _change(values: Sequence[float | None]) -> float | None:
    """Return by what share the largest exceeds the smallest."""
    known = [value for value in values if value is not None]
    return max(known) / min(known) - 1 if known else None


def _rise(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return known[-1] - known[0] if known else None
