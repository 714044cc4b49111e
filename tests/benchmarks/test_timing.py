"""The measuring loop, with models and a clock whose times are known."""

from __future__ import annotations

import gc
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from lolvit_benchmarks.harness import timing
from lolvit_benchmarks.harness.schedule import PROFILES, Profile
from lolvit_benchmarks.harness.system_monitor import Machine, SystemMonitor
from lolvit_benchmarks.harness.timing import Recording, Runnable

PROFILE = Profile("quick", blocks=2, rounds=2, burst=3, seconds=1e6, warm_up_runs=2, warm_up_s=0)


class Bench:
    """Models that take a known time by a clock of their own, and a log of their runs."""

    def __init__(self, **microseconds: float) -> None:
        self.now, self.log = 0, []
        self.runnables = [
            Runnable(name, self._runner(name, us)) for name, us in microseconds.items()
        ]

    def _runner(self, name: str, microseconds: float):
        def run() -> None:
            self.now += int(microseconds * 1000)
            self.log.append(name)

        return run

    def measure(self, profile: Profile = PROFILE, recording: Recording | None = None) -> Recording:
        recording = recording if recording is not None else Recording()
        monitor = SystemMonitor(Machine(), [0])
        opened = nullcontext(self.runnables)
        timing.measure(lambda _: opened, profile, recording, monitor, clock=lambda: self.now)
        return recording


def test_every_recorded_run_has_its_time_block_round_and_place() -> None:
    samples = Bench(a=100.0, b=250.0).measure().samples("b")
    assert samples.ms == [0.25] * 24
    assert samples.block == [0] * 12 + [1] * 12
    assert samples.round == [number for number in range(4) for _ in range(6)]
    # ABBA BAAB ABBA BAAB in bursts of three
    assert samples.order[:12] == [3, 4, 5, 6, 7, 8, 12, 13, 14, 21, 22, 23]


def test_models_share_the_places_without_gap_or_overlap() -> None:
    recording = Bench(a=100.0, b=250.0, c=70.0).measure()
    places = [place for name in "abc" for place in recording.samples(name).order]
    assert sorted(places) == list(range(3 * 24))


def test_slots_alternate_and_each_begins_with_runs_that_are_not_recorded() -> None:
    """Each block after two runs of each model; three warm-up iterations of a model of 10 ms, one of
    a model of 50 ms; bursts of three."""
    bench = Bench(a=10_000.0, b=50_000.0)
    bench.measure()
    a, b = 6 * "a", 4 * "b"
    there, back = a + b + b + a, b + a + a + b
    assert "".join(bench.log) == 2 * ("aabb" + there + back)


def test_every_model_is_warmed_up_for_runs_and_time() -> None:
    bench = Bench(a=100.0)
    bench.measure(replace(PROFILE, warm_up_runs=3, warm_up_s=0.001))
    assert len(bench.log) - 4 * 2 * (20 + 3) == 2 * 10  # twice a millisecond of runs of 0.1 ms


def test_a_slow_model_gets_the_runs_that_its_time_allows() -> None:
    recording = Bench(a=1_000_000.0, b=1_000_000.0).measure(PROFILES["quick"])
    assert recording.plan is not None
    assert recording.plan.runs == 8
    assert recording.complete


def test_an_interruption_leaves_whole_rounds_of_all_models() -> None:
    bench, runs = Bench(a=100.0, b=250.0), 0

    def interrupted() -> None:
        nonlocal runs
        runs += 1
        if runs == 100:  # each of its slots is of 23 runs
            raise KeyboardInterrupt

    bench.runnables.append(Runnable("c", interrupted))
    recording = Recording()
    with pytest.raises(KeyboardInterrupt):
        bench.measure(recording=recording)
    counts = {name: len(recording.samples(name).ms) for name in "abc"}
    assert counts == {"a": 12, "b": 12, "c": 12}  # two of four rounds
    assert not recording.complete


def test_garbage_is_not_collected_while_timing_and_is_again_afterwards() -> None:
    states = []
    one = Runnable("a", lambda: states.append(gc.isenabled()))
    timing.measure(
        lambda _: nullcontext([one]), PROFILE, Recording(), SystemMonitor(Machine(), [0])
    )
    assert states.count(True) == PROFILE.blocks * PROFILE.warm_up_runs
    assert gc.isenabled()


def test_garbage_collection_is_restored_after_a_failure() -> None:
    def fail() -> None:
        if not gc.isenabled():
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        opened = nullcontext([Runnable("a", fail)])
        timing.measure(lambda _: opened, PROFILE, Recording(), SystemMonitor(Machine(), [0]))
    assert gc.isenabled()


def test_the_machine_is_read_around_every_block() -> None:
    monitor = SystemMonitor(Machine(), [0])
    opened = nullcontext([Runnable("a", lambda: None)])
    timing.measure(lambda _: opened, PROFILE, Recording(), monitor)
    assert len(monitor.readings) == 2 * PROFILE.blocks


def test_two_models_of_one_name_are_refused() -> None:
    one = Runnable("a", lambda: None)
    with pytest.raises(ValueError, match="names must differ"):
        opened = nullcontext([one, one])
        timing.measure(lambda _: opened, PROFILE, Recording(), SystemMonitor(Machine(), [0]))


def test_measuring_loads_no_torch() -> None:
    """The tests of other packages may have loaded it: what counts is that these modules do not."""
    import subprocess

    modules = ", ".join(
        f"lolvit_benchmarks.{name}" for name in ("runner", "reporting.html", "analysis.comparison")
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
