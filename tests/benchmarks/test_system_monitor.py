"""What is read of the machine, where it can be read and where it can't."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from lolvit_benchmarks.harness import system_monitor as monitor
from lolvit_benchmarks.harness.system_monitor import (
    Machine,
    SystemMonitor,
    available_cores,
    pick_cores,
    pinned,
    read_environment,
)


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine that reports nothing."""
    return Machine(tmp_path)


@pytest.fixture
def laptop(tmp_path: Path) -> Machine:
    """Two fast cores of two threads each, one slow core, sensors, a battery."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast One\nflags\t\t: fpu avx2 sse\n",
        "sys/class/hwmon/hwmon0/name": "nvme",
        "sys/class/hwmon/hwmon0/temp1_input": "90000",
        "sys/class/hwmon/hwmon1/name": "coretemp",
        "sys/class/hwmon/hwmon1/temp1_input": "51000",
        "sys/class/hwmon/hwmon1/temp2_input": "54500",
        "sys/class/power_supply/AC/type": "Mains",
        "sys/class/power_supply/AC/online": "1",
        "sys/class/power_supply/BAT0/type": "Battery",
        "sys/class/power_supply/BAT0/capacity": "77",
    }
    siblings = {0: "0,2", 2: "0,2", 1: "1,3", 3: "1,3", 4: "4"}
    for core, threads in siblings.items():
        cpu = f"sys/devices/system/cpu/cpu{core}"
        files |= {
            f"{cpu}/topology/thread_siblings_list": threads,
            f"{cpu}/cpufreq/scaling_governor": "powersave" if core == 4 else "performance",
            f"{cpu}/cpufreq/scaling_cur_freq": str(1_000_000 + 100_000 * core),
            f"{cpu}/cpufreq/cpuinfo_max_freq": "2000000" if core == 4 else "4000000",
            f"{cpu}/thermal_throttle/core_throttle_count": str(core),
        }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return Machine(tmp_path)


def test_sensors_are_read(laptop: Machine) -> None:
    assert laptop.cpu_model() == "Fast One"
    assert laptop.cpu_flags() == ("avx2", "fpu", "sse")
    assert laptop.governor([0, 1]) == "performance"
    assert laptop.governor([0, 4]) == "performance,powersave"
    assert laptop.frequency_mhz([0, 2]) == 1100.0
    assert laptop.highest_frequency_mhz([4]) == 2000.0
    assert laptop.temperature_c() == 54.5  # the disk's 90 degrees are not the processor's
    assert laptop.throttle_events([1, 3]) == 4
    assert laptop.battery_percent() == 77
    assert laptop.on_mains() is True


def test_what_a_machine_does_not_report_is_none(bare: Machine) -> None:
    assert bare.cpu_model() is None
    assert bare.cpu_flags() is None
    assert bare.governor([0]) is None
    assert bare.frequency_mhz([0]) is None
    assert bare.temperature_c() is None
    assert bare.throttle_events([0]) is None
    assert bare.battery_percent() is None
    assert bare.on_mains() is None


def test_unreadable_numbers_are_none(laptop: Machine) -> None:
    (laptop.root / "sys/class/power_supply/BAT0/capacity").write_text("unknown")
    assert laptop.battery_percent() is None


def test_threads_go_to_fast_cores_first_then_to_their_second_threads(laptop: Machine) -> None:
    cores = [0, 1, 2, 3, 4]
    assert pick_cores(1, cores, laptop) == [3]
    assert pick_cores(2, cores, laptop) == [2, 3]
    assert pick_cores(3, cores, laptop) == [2, 3, 4]
    assert pick_cores(4, cores, laptop) == [1, 2, 3, 4]
    assert pick_cores(5, cores, laptop) == cores


def test_of_equal_cores_the_last_is_taken(bare: Machine) -> None:
    assert pick_cores(1, [0, 1, 2], bare) == [2]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system can't pin")
def test_pinning_holds_inside_the_block_alone(bare: Machine) -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(KeyError), pinned(1, bare) as cores:
        assert os.sched_getaffinity(0) == set(cores or [])
        assert len(cores or []) == 1
        raise KeyError
    assert os.sched_getaffinity(0) == before


def test_the_environment_of_a_bare_machine_is_reported_without_guessing(bare: Machine) -> None:
    seen = read_environment(bare)
    unknown = ("cpu", "cpu_flags", "governor", "frequency_mhz", "temperature_c", "virtual")
    assert [getattr(seen, name) for name in unknown] == [None] * len(unknown)
    assert seen.packages["numpy"]
    assert seen.cores >= seen.cores_available >= 1


def test_commit_is_that_of_the_work_tree_that_tracks_the_file(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    source, stray = tmp_path / "a.py", tmp_path / "b.py"
    source.touch()
    stray.touch()
    assert monitor._commit(source) is None
    git("init", "-q")
    git("add", "a.py")
    git("commit", "-q", "-m", "first")
    commit = monitor._commit(source)
    assert commit is not None
    assert len(commit) == 40
    assert monitor._commit(stray) is None
    source.write_text("changed")
    assert monitor._commit(source) == f"{commit}+changes"


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A process that computes without pause on one core, whose number is given."""
    core = max(available_cores())
    program = "import os, sys\nos.sched_setaffinity(0, [int(sys.argv[1])])\nwhile True: pass"
    busy = subprocess.Popen([sys.executable, "-c", program, str(core)])
    try:
        time.sleep(0.2)
        yield core
    finally:
        busy.kill()
        busy.wait()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system can't pin")
def test_a_busy_neighbour_on_the_used_core_is_seen(neighbour: int) -> None:
    machine = SystemMonitor(Machine(), [neighbour])
    time.sleep(1.0)
    conditions = machine.conditions()
    assert conditions.used_cores == 1
    assert conditions.others_cores is not None
    assert conditions.others_cores > 0.25


class TimesOfOneCore(NamedTuple):
    user: float
    system: float
    iowait: float
    idle: float
    steal: float


def test_load_and_steal_are_those_of_the_used_cores_without_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one second of core 1 this process used 0.6, others 0.2, the hypervisor took 0.1; core 0 is
    busy all the time."""
    before = [TimesOfOneCore(0, 0, 0, 0, 0), TimesOfOneCore(50, 1, 3, 100, 1)]
    after = [TimesOfOneCore(9, 0, 0, 0, 9), TimesOfOneCore(50.8, 1, 3, 100.1, 1.1)]
    listed, own = iter([before, after]), iter([5.0, 5.6])
    monkeypatch.setattr(monitor.psutil, "cpu_times", lambda percpu: next(listed))
    process = SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=next(own), system=0.0))
    monkeypatch.setattr(monitor.psutil, "Process", lambda: process)
    clock = iter([0.0, 1.0])
    monkeypatch.setattr(monitor.time, "perf_counter", lambda: next(clock))
    conditions = SystemMonitor(Machine(), [1]).conditions()
    assert conditions.others_cores == pytest.approx(0.2)
    assert conditions.stolen_share == pytest.approx(0.1)


def test_the_usage_of_several_processes_adds_up() -> None:
    both = monitor.Usage(2.0, 1.5, 1.6, 0.1) + monitor.Usage(2.0, 1.5, 2.4, 0.3)
    conditions = monitor.conditions_of(both, 1, [], interrupted=False)
    assert conditions.others_cores == pytest.approx(0.25)
    assert conditions.stolen_share == pytest.approx(0.1)
    unknown = monitor.Usage(1.0, 0.0, 0.0, None) + monitor.Usage(1.0, 0.0, 0.0, 0.1)
    assert monitor.conditions_of(unknown, 1, [], interrupted=False).stolen_share is None


def test_a_neighbour_that_takes_the_memorys_bandwidth_is_felt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = iter([9000.0, 4000.0, 4000.0, 4000.0, 9000.0, 6000.0, 6000.0, 6000.0])
    monkeypatch.setattr(monitor, "_memory_probe_us", lambda: next(copies))
    machine = SystemMonitor(Machine(), [0])
    for _ in range(2):
        machine.read()
        machine.probe()
        machine.probe()
        machine.read()
    after = [reading.memory_probe_us for reading in machine.readings[1::2]]
    assert after == [4000.0, 6000.0]
    assert machine.conditions().memory_change == pytest.approx(0.5)


def test_a_change_of_frequency_and_of_throttling_is_seen(laptop: Machine) -> None:
    cpu = laptop.root / "sys/devices/system/cpu/cpu0"
    machine = SystemMonitor(laptop, [0])
    machine.read()
    (cpu / "cpufreq/scaling_cur_freq").write_text("800000")
    (cpu / "thermal_throttle/core_throttle_count").write_text("3")
    machine.read()
    conditions = machine.conditions()
    assert conditions.frequency_change == pytest.approx(0.25)
    assert conditions.throttle_events == 3
    assert [reading.temperature_c for reading in machine.readings] == [54.5, 54.5]


def test_a_slower_clock_shows_in_the_fixed_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three probes each; one moment of another speed inside a block has no effect."""
    durations = iter([50.0, 36.0, 43.2, 36.0, 50.0, 43.2, 36.0, 43.2])
    monkeypatch.setattr(monitor, "_probe_us", lambda: next(durations))
    machine = SystemMonitor(Machine(), [0])
    for _ in range(2):
        machine.read()
        machine.probe()
        machine.probe()
        machine.read()
    assert [reading.probe_us for reading in machine.readings] == [50.0, 36.0, 50.0, 43.2]
    assert machine.conditions().probe_change == pytest.approx(0.2)


def test_without_readings_nothing_is_claimed(bare: Machine) -> None:
    conditions = SystemMonitor(bare, [0]).conditions()
    assert conditions.frequency_change is None
    assert conditions.probe_change is None
    assert conditions.throttle_events is None
