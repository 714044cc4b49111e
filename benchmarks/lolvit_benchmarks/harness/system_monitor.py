"""This machine: what Linux reports of it, the cores that a measurement is pinned to, and a monitor
of what it does while a measurement runs.

What can't be read is None, never guessed; on systems without /proc and /sys that is most of it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from lolvit.version import __version__
from lolvit_benchmarks.analysis.quality import Conditions
from lolvit_benchmarks.results.document import Environment

# Drivers whose temperatures are the processor's.
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
_CPU_ZONES = ("x86_pkg_temp", "cpu", "soc")
# The fields of /proc/cpuinfo that name the processor or its features, x86's first, then Arm's.
_MODEL_FIELDS = ("model name", "Hardware", "Processor")
_FLAG_FIELDS = ("flags", "Features")
PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert", "openvino", "executorch", "coremltools")
_PROBE_INPUT = bytes(1 << 16)
_PROBE_REPEATS = 24
_COPIED, _COPY = np.ones(1 << 21), np.ones(1 << 21)  # of 16 MiB


def read_text(path: Path) -> str | None:
    """Return a file's text without surrounding space; None if it is missing or unreadable."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return a file's whole number; None if there is none."""
    text = read_text(path)
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Machine:
    """The files of one machine; `root` is another folder than / in tests."""

    root: Path = Path("/")

    def cpu_model(self) -> str | None:
        """Return the processor's name, as the kernel gives it."""
        return self._cpuinfo(_MODEL_FIELDS)

    def cpu_flags(self) -> tuple[str, ...] | None:
        """Return the instruction sets and features that the kernel lists, sorted."""
        flags = self._cpuinfo(_FLAG_FIELDS)
        return tuple(sorted(flags.split())) if flags is not None else None

    def _cpuinfo(self, fields: tuple[str, ...]) -> str | None:
        lines = (read_text(self.root / "proc/cpuinfo") or "").splitlines()
        found = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
        return next((found[field] for field in fields if found.get(field)), None)

    def governor(self, cores: Iterable[int]) -> str | None:
        """Return the frequency governor of the cores, comma-separated where they differ."""
        names = {read_text(self._cpu(core) / "cpufreq/scaling_governor") for core in cores}
        return ",".join(sorted(name for name in names if name)) or None

    def frequency_mhz(self, cores: Iterable[int]) -> float | None:
        """Return the mean of the cores' present frequencies."""
        return self._mean_mhz(cores, "cpufreq/scaling_cur_freq")

    def highest_frequency_mhz(self, cores: Iterable[int]) -> float | None:
        """Return the mean of the highest frequencies that the cores can have."""
        return self._mean_mhz(cores, "cpufreq/cpuinfo_max_freq")

    def _mean_mhz(self, cores: Iterable[int], name: str) -> float | None:
        khz = [read_int(self._cpu(core) / name) for core in cores]
        known = [value for value in khz if value is not None]
        return sum(known) / len(known) / 1000 if known else None

    def capacity(self, core: int) -> int:
        """Return how fast a core is among its machine's, in the kernel's unit or, failing that, by
        its highest frequency; 0 where neither is reported, as on machines with equal cores."""
        capacity = read_int(self._cpu(core) / "cpu_capacity")
        return capacity or read_int(self._cpu(core) / "cpufreq/cpuinfo_max_freq") or 0

    def physical_core(self, core: int) -> str:
        """Return an identifier that the hardware threads of one physical core share."""
        siblings = read_text(self._cpu(core) / "topology/thread_siblings_list")
        return siblings or str(core)

    def throttle_events(self, cores: Iterable[int]) -> int | None:
        """Return how often the cores have throttled for heat since the machine started."""
        counts = [
            read_int(self._cpu(core) / "thermal_throttle/core_throttle_count") for core in cores
        ]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    def temperature_c(self) -> float | None:
        """Return the highest of the processor's temperatures, in degrees Celsius."""
        milli = [value for value in self._temperatures() if value is not None]
        return max(milli) / 1000 if milli else None

    def _temperatures(self) -> Iterator[int | None]:
        for folder in (self.root / "sys/class/hwmon").glob("hwmon*"):
            if read_text(folder / "name") in _CPU_SENSORS:
                yield from (read_int(path) for path in folder.glob("temp*_input"))
        for zone in (self.root / "sys/class/thermal").glob("thermal_zone*"):
            if (read_text(zone / "type") or "").startswith(_CPU_ZONES):
                yield read_int(zone / "temp")

    def battery_percent(self) -> int | None:
        """Return the charge of the first battery; None without one."""
        for folder in sorted((self.root / "sys/class/power_supply").glob("*")):
            if read_text(folder / "type") == "Battery":
                return read_int(folder / "capacity")
        return None

    def on_mains(self) -> bool | None:
        """Return whether a mains adapter is connected; None where none is listed."""
        folders = (self.root / "sys/class/power_supply").glob("*")
        mains = [read_int(f / "online") for f in folders if read_text(f / "type") == "Mains"]
        return any(mains) if mains else None

    def _cpu(self, core: int) -> Path:
        return self.root / f"sys/devices/system/cpu/cpu{core}"


def available_cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pick_cores(threads: int, available: list[int], machine: Machine) -> list[int]:
    """Return the cores for `threads` threads: the fastest, of different physical cores first, those
    of high number before core 0, which serves most interrupts."""
    ranked = sorted(available, key=lambda core: (-machine.capacity(core), -core))
    seen: set[str] = set()
    first: list[int] = []
    for core in ranked:
        if machine.physical_core(core) not in seen:
            seen.add(machine.physical_core(core))
            first.append(core)
    second = [core for core in ranked if core not in first]
    return sorted((first + second)[:threads])


@contextmanager
def pinned(threads: int, machine: Machine) -> Iterator[list[int] | None]:
    """Keep this thread, and those that it starts inside the block, on as many cores as threads;
    give the cores, or None where the system has no such call."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    cores = pick_cores(threads, sorted(before), machine)
    os.sched_setaffinity(0, cores)
    try:
        yield cores
    finally:
        os.sched_setaffinity(0, before)


def read_environment(machine: Machine | None = None) -> Environment:
    """Return the state of this machine now."""
    machine = machine or Machine()
    cores = available_cores()
    flags = machine.cpu_flags()
    return Environment(
        device="host",
        cpu=machine.cpu_model(),
        cpu_flags=flags,
        architecture=platform.machine(),
        virtual=_is_virtual(flags),
        cores=os.cpu_count() or len(cores),
        cores_available=len(cores),
        governor=machine.governor(cores),
        frequency_mhz=machine.frequency_mhz(cores),
        highest_frequency_mhz=machine.highest_frequency_mhz(cores),
        temperature_c=machine.temperature_c(),
        battery_percent=machine.battery_percent(),
        on_mains=machine.on_mains(),
        load_average=os.getloadavg() if hasattr(os, "getloadavg") else None,
        memory_bytes=_memory_bytes(),
        system=platform.platform(),
        python=platform.python_version(),
        packages=_versions(),
        lolvit_version=__version__,
        lolvit_commit=_commit(Path(__file__)),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _is_virtual(flags: tuple[str, ...] | None) -> bool | None:
    """x86 processors report it among their flags; others don't."""
    if flags is None or platform.machine() not in ("x86_64", "AMD64"):
        return None
    return "hypervisor" in flags


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit(source: Path) -> str | None:
    """Return the commit of the work tree that tracks `source`; None where none does."""
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    commit = _git(source.parent, "rev-parse", "HEAD")
    changes = _git(source.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if commit and changes else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True)
class Reading:
    """The machine's state at one moment between blocks; None where it can't be read.

    `probe_us` is the time of a fixed computation (a hash of 64 KiB), in microseconds: it needs no
    sensor, and lengthens when the processor slows down or another guest shares its core.
    `memory_probe_us` is that of copying 16 MiB, more than most caches hold: it lengthens when
    another core takes the memory's bandwidth. Both are medians over the slots since the last
    reading: a processor's clock wanders by some percent within milliseconds, so that one moment
    would not represent a block.
    """

    at_s: float
    probe_us: float
    memory_probe_us: float
    frequency_mhz: float | None
    temperature_c: float | None
    throttle_events: int | None


@dataclass(frozen=True)
class Usage:
    """What used the cores of a measurement for `wall_s` seconds, in processor seconds: this
    process, all processes, the hypervisor for other guests (None: not reported)."""

    wall_s: float
    own_s: float
    busy_s: float
    stolen_s: float | None

    def __add__(self, other: Usage) -> Usage:
        """Return the usage of both measurements, one after the other."""
        known = self.stolen_s is not None and other.stolen_s is not None
        stolen_s = (self.stolen_s or 0.0) + (other.stolen_s or 0.0) if known else None
        return Usage(
            self.wall_s + other.wall_s,
            self.own_s + other.own_s,
            self.busy_s + other.busy_s,
            stolen_s,
        )


def conditions_of(
    usage: Usage,
    used_cores: int,
    readings: Sequence[Reading],
    *,
    interrupted: bool,
) -> Conditions:
    """Summarise what the machine did during a measurement on `used_cores` cores. Readings are made
    before and after each block: the probes of those before are of one moment alone."""
    wall_s = max(usage.wall_s, 1e-9)
    stolen_s = usage.stolen_s
    return Conditions(
        cores=os.cpu_count() or 1,
        used_cores=used_cores,
        others_cores=max(0.0, usage.busy_s - usage.own_s) / wall_s,
        stolen_share=max(0.0, stolen_s) / (wall_s * used_cores) if stolen_s is not None else None,
        frequency_change=_change([r.frequency_mhz for r in readings]),
        probe_change=_change([r.probe_us for r in readings[1::2]]),
        memory_change=_change([r.memory_probe_us for r in readings[1::2]]),
        throttle_events=_rise([r.throttle_events for r in readings]),
        interrupted=interrupted,
    )


@dataclass
class SystemMonitor:
    """Monitors this machine during one measurement; `cores` are those that the process is pinned
    to, or all that it may use."""

    machine: Machine
    cores: Sequence[int]
    readings: list[Reading] = field(default_factory=list)
    _probes: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started_s = time.perf_counter()
        self._start = _used(self.cores)

    def probe(self) -> None:
        """Time the fixed computation and the copy once, for the next reading; takes some
        milliseconds."""
        self._probes.append((_probe_us(), _memory_probe_us()))

    def read(self) -> None:
        """Add a reading; takes about 2 ms."""
        self.probe()  # first: it wakes the core whose frequency is read next
        (probes, copies), self._probes = zip(*self._probes, strict=True), []
        self.readings.append(
            Reading(
                at_s=time.perf_counter() - self._started_s,
                probe_us=statistics.median(probes),
                memory_probe_us=statistics.median(copies),
                frequency_mhz=self.machine.frequency_mhz(self.cores),
                temperature_c=self.machine.temperature_c(),
                throttle_events=self.machine.throttle_events(self.cores),
            )
        )

    def usage(self) -> Usage:
        """Return what used the cores since the monitor was made."""
        end, start = _used(self.cores), self._start
        stolen_s = None
        if start.stolen_s is not None and end.stolen_s is not None:
            stolen_s = end.stolen_s - start.stolen_s
        return Usage(
            time.perf_counter() - self._started_s,
            end.own_s - start.own_s,
            end.busy_s - start.busy_s,
            stolen_s,
        )

    def conditions(self, *, interrupted: bool = False) -> Conditions:
        """Return what has happened since the monitor was made."""
        return conditions_of(self.usage(), len(self.cores), self.readings, interrupted=interrupted)


def _used(cores: Sequence[int]) -> Usage:
    """Return the processor seconds since this machine started, on the given cores."""
    own = psutil.Process().cpu_times()
    each = psutil.cpu_times(percpu=True)
    # Where cores are offline, those that are listed have other places: all are taken then.
    times = [each[core] for core in cores] if max(cores) < len(each) else each
    stolen = [getattr(one, "steal", None) for one in times]
    known = [value for value in stolen if value is not None]
    stolen_s = sum(known) if len(known) == len(stolen) else None
    return Usage(0.0, own.user + own.system, sum(map(_busy_s, times)), stolen_s)


def _busy_s(times: Any) -> float:
    """Return the seconds in which a core ran processes of this machine: guests' time is inside
    user's, waiting for disks is idle time."""
    apart = ("iowait", "guest", "guest_nice", "steal")
    return float(sum(times) - times.idle - sum(getattr(times, name, 0.0) for name in apart))


def _probe_us() -> float:
    times = []
    for _ in range(_PROBE_REPEATS):
        start = time.perf_counter_ns()
        hashlib.sha256(_PROBE_INPUT).digest()
        times.append(time.perf_counter_ns() - start)
    return min(times) / 1000


def _memory_probe_us() -> float:
    start = time.perf_counter_ns()
    _COPY[:] = _COPIED
    return (time.perf_counter_ns() - start) / 1000


def _change(values: Sequence[float | None]) -> float | None:
    """Return by what share the largest exceeds the smallest."""
    known = [value for value in values if value is not None]
    return max(known) / min(known) - 1 if known else None


def _rise(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return known[-1] - known[0] if known else None
