"""What Linux tells of the machine through /proc and /sys. What can't be read is None, never
guessed; on other systems that is everything here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Drivers whose temperatures are the processor's.
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")
_CPU_ZONES = ("x86_pkg_temp", "cpu", "soc")
# The fields of /proc/cpuinfo that name the processor or its features, x86's first, then Arm's.
_MODEL_FIELDS = ("model name", "Hardware", "Processor")
_FLAG_FIELDS = ("flags", "Features")


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
        """Return the processor's name as it calls itself."""
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
        its highest frequency; 0 where neither is told, as on machines with equal cores."""
        capacity = read_int(self._cpu(core) / "cpu_capacity")
        return capacity or read_int(self._cpu(core) / "cpufreq/cpuinfo_max_freq") or 0

    def physical_core(self, core: int) -> str:
        """Return what is the same for hardware threads of one physical core, and differs else."""
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
