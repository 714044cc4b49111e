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

import psutil

import lolvit
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
        lolvit_version=lolvit.__version__,
        lolvit_commit=_commit(Path(lolvit.__file__)),
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
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True)
class Reading:
    """The machine's state at one moment between blocks; None where it can't be read.

    `probe_us` is the time of a fixed computation (a hash of 64 KiB), in microseconds: it needs no
    sensor, and lengthens when the processor slows down or another guest shares its core. It is the
    median over the slots since the last reading: a processor's clock wanders by some percent within
    milliseconds, so that one moment would not represent a block.
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
class SystemMonitor:
    """Monitors this machine during one benchmark case; `cores` are those that the process is
    pinned to, or all."""

    machine: Machine
    cores: Sequence[int]
    readings: list[Reading] = field(default_factory=list)
    _probes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start = _used()

    def probe(self) -> None:
        """Time the fixed computation once, for the next reading; takes about 1 ms."""
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
        """Return what has happened since the monitor was made."""
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
