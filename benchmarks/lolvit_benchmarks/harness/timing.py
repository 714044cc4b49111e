"""Timing two or more models against each other, interleaved in one process."""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from lolvit_benchmarks.harness.schedule import Profile, fitted, order_of, settling_runs
from lolvit_benchmarks.harness.system_monitor import Watch

Clock = Callable[[], int]  # in nanoseconds
Progress = Callable[[int, int], None]  # rounds done, rounds in all


@dataclass(frozen=True)
class Side:
    """A model to be timed: `run` makes one inference and returns when its result is there."""

    name: str
    run: Callable[[], object]


@dataclass(frozen=True)
class Round:
    """One round: its block, and each slot's side and durations, in the order they were made."""

    block: int
    slots: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Samples:
    """The recorded runs of one side, in the order they were made.

    Of run i: its duration in milliseconds, its block, its round (counted through all blocks), and
    its place among all recorded runs of all sides.
    """

    ms: list[float] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)


@dataclass
class Recording:
    """What has been measured so far: whole rounds alone, so that an interrupted measurement leaves
    as many runs of each side."""

    plan: Profile | None = None
    rounds: list[Round] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all rounds that were planned have been made."""
        return self.plan is not None and len(self.rounds) == self.plan.blocks * self.plan.rounds

    def samples(self, name: str) -> Samples:
        """Return the recorded runs of one side."""
        samples, place = Samples(), 0
        for number, entry in enumerate(self.rounds):
            for slot, durations in entry.slots:
                if slot == name:
                    samples.ms.extend(nanoseconds / 1e6 for nanoseconds in durations)
                    samples.block.extend([entry.block] * len(durations))
                    samples.round.extend([number] * len(durations))
                    samples.order.extend(range(place, place + len(durations)))
                place += len(durations)
        return samples


def measure(
    sides: Sequence[Side],
    profile: Profile,
    recording: Recording,
    watch: Watch,
    *,
    progress: Progress = lambda done, planned: None,
    clock: Clock = time.perf_counter_ns,
) -> None:
    """Warm up, then fill `recording` as the profile says; the watch probes after each slot and
    reads before each block and after the last. An exception leaves the whole rounds made so far in
    `recording`.

    Raises:
        ValueError: two sides have one name.
    """
    names = [side.name for side in sides]
    if len(set(names)) != len(names):
        raise ValueError(f"sides of one name: {names}")
    runs_s = [warm_up(side, profile, clock) for side in sides]
    settling = {side.name: settling_runs(s) for side, s in zip(sides, runs_s, strict=True)}
    plan = fitted(profile, runs_s)
    recording.plan = plan
    for block in range(plan.blocks):
        if block:
            time.sleep(plan.cool_down_s)
        watch.read()
        with _no_garbage_collection():
            for _ in range(plan.rounds):
                number = len(recording.rounds)
                slots = _slots(sides, settling, plan.burst, number, watch, clock)
                recording.rounds.append(Round(block, slots))
                progress(len(recording.rounds), plan.blocks * plan.rounds)
    watch.read()


def warm_up(side: Side, profile: Profile, clock: Clock) -> float:
    """Run a side for at least the profile's warm-up; return the seconds that a run takes, by the
    median of the later half."""
    times: list[int] = []
    while len(times) < profile.warm_up_runs or sum(times) < profile.warm_up_s * 1e9:
        times += _durations(side.run, 1, clock)
    return max(1.0, statistics.median(times[len(times) // 2 :])) / 1e9


def _slots(
    sides: Sequence[Side],
    settling: dict[str, int],
    burst: int,
    number: int,
    watch: Watch,
    clock: Clock,
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Make one round; return each slot's side and the durations of its burst."""
    runs = {side.name: side.run for side in sides}
    slots = []
    for name in order_of(list(runs), number):
        _durations(runs[name], settling[name], clock)
        slots.append((name, tuple(_durations(runs[name], burst, clock))))
        watch.probe()
    return tuple(slots)


def _durations(run: Callable[[], object], count: int, clock: Clock) -> list[int]:
    """Return the nanoseconds of `count` runs, one reading of the clock between two."""
    marks = [0] * (count + 1)
    marks[0] = clock()
    for number in range(1, count + 1):
        run()
        marks[number] = clock()
    return [after - before for before, after in itertools.pairwise(marks)]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
