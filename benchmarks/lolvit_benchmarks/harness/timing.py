"""Timing: several models interleaved in one process, and one model run back to back for minutes.

Interleaving is of no use for the latter, which shows how far a model slows down once the device is
warm: two models that take turns would share one temperature. Each runs alone, after a rest.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from lolvit_benchmarks.harness.schedule import Profile, fitted, order_of, warm_up_iterations
from lolvit_benchmarks.harness.system_monitor import SystemMonitor

Clock = Callable[[], int]  # in nanoseconds
Progress = Callable[[int, int], None]  # rounds done, rounds in all

# Of a sustained run: the rest before it, and its curve.
REST_S = 5.0
POINTS = 60  # at most
SHORTEST_POINT_S = 0.25
BURST_SHARE, PLATEAU_SHARE = 0.1, 0.3  # of the time, at its start and at its end


@dataclass(frozen=True)
class Runnable:
    """A model to be timed: `run` makes one inference and returns when its result is there."""

    name: str
    run: Callable[[], object]


# Opens the models for the block of a number, and closes them after it.
Opened = Callable[[int], AbstractContextManager[Sequence[Runnable]]]


@dataclass(frozen=True)
class Round:
    """One round: its block, and each slot's name and durations in nanoseconds, in the order of
    measuring."""

    block: int
    slots: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Samples:
    """The recorded runs of one candidate, in the order of measuring.

    Of run i: its duration in milliseconds, its block, its round (counted through all blocks), and
    its place among all recorded runs of all candidates.
    """

    ms: list[float] = field(default_factory=list)
    block: list[int] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)


@dataclass
class Recording:
    """What has been measured so far: whole rounds alone, so that an interrupted measurement leaves
    as many runs of each candidate."""

    plan: Profile | None = None
    rounds: list[Round] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all rounds that were planned have been made."""
        return self.plan is not None and len(self.rounds) == self.plan.blocks * self.plan.rounds

    def samples(self, name: str) -> Samples:
        """Return the recorded runs of one candidate."""
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
    opened: Opened,
    profile: Profile,
    recording: Recording,
    monitor: SystemMonitor,
    *,
    progress: Progress = lambda done, planned: None,
    clock: Clock = time.perf_counter_ns,
) -> None:
    """Fill `recording` as the profile specifies, each block with the models that `opened` gives for
    its number; the monitor probes after each slot and reads before and after each block. An
    exception leaves the whole rounds made so far in `recording`.

    Raises:
        ValueError: two runnables have the same name.
    """
    block = 0
    while recording.plan is None or block < recording.plan.blocks:
        if block:
            time.sleep(profile.cool_down_s)
        with opened(block) as runnables:
            measure_block(
                runnables, profile, block, recording, monitor, progress=progress, clock=clock
            )
        block += 1


def measure_block(
    runnables: Sequence[Runnable],
    profile: Profile,
    block: int,
    recording: Recording,
    monitor: SystemMonitor,
    *,
    progress: Progress = lambda done, planned: None,
    clock: Clock = time.perf_counter_ns,
) -> None:
    """Warm up, and add the rounds of one block to `recording`. If it has no plan yet, the profile
    is fitted to what runs take here.

    Raises:
        ValueError: two runnables have the same name.
    """
    names = [one.name for one in runnables]
    if len(set(names)) != len(names):
        raise ValueError(f"names must differ: {names}")
    runs_s = [warm_up(one, profile, clock) for one in runnables]
    iterations = {name: warm_up_iterations(s) for name, s in zip(names, runs_s, strict=True)}
    plan = recording.plan = recording.plan or fitted(profile, runs_s)
    monitor.read()
    with _no_garbage_collection():
        for number in range(block * plan.rounds, (block + 1) * plan.rounds):
            slots = _slots(runnables, iterations, plan.burst, number, monitor, clock)
            recording.rounds.append(Round(block, slots))
            progress(number + 1, plan.blocks * plan.rounds)
    monitor.read()


def warm_up(one: Runnable, profile: Profile, clock: Clock) -> float:
    """Run a model for at least the profile's warm-up; return the seconds that a run takes, by the
    median of the later half."""
    times: list[int] = []
    while len(times) < profile.warm_up_runs or sum(times) < profile.warm_up_s * 1e9:
        times += _durations(one.run, 1, clock)
    return max(1.0, statistics.median(times[len(times) // 2 :])) / 1e9


def _slots(
    runnables: Sequence[Runnable],
    iterations: dict[str, int],
    burst: int,
    number: int,
    monitor: SystemMonitor,
    clock: Clock,
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Make one round; return each slot's name and the durations of its recorded runs."""
    runs = {one.name: one.run for one in runnables}
    slots = []
    for name in order_of(list(runs), number):
        _durations(runs[name], iterations[name], clock)
        slots.append((name, tuple(_durations(runs[name], burst, clock))))
        monitor.probe()
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


@dataclass(frozen=True)
class Curve:
    """The median latency of each stretch of time, by the second at which the stretch began; burst
    and plateau are the medians of the runs in the first tenth and in the last three tenths."""

    seconds: float
    at_s: tuple[float, ...]
    median_ms: tuple[float, ...]
    burst_ms: float
    plateau_ms: float


def sustain(
    run: Callable[[], object],
    seconds: float,
    *,
    rest: Callable[[float], None] = time.sleep,
    clock: Clock = time.perf_counter_ns,
) -> Curve:
    """Rest, run for `seconds` without a pause, and return the curve."""
    rest(min(REST_S, seconds))
    marks = [clock()]
    end = marks[0] + round(seconds * 1e9)
    while marks[-1] < end or len(marks) < 2:
        run()
        marks.append(clock())
    starts = [(mark - marks[0]) / 1e9 for mark in marks[:-1]]
    durations = [(after - before) / 1e6 for before, after in itertools.pairwise(marks)]
    return curve(starts, durations)


def curve(starts_s: Sequence[float], durations_ms: Sequence[float]) -> Curve:
    """Return the curve of runs that began at these seconds and took these milliseconds.

    Raises:
        ValueError: no runs, or as many starts as durations are not given.
    """
    if not starts_s or len(starts_s) != len(durations_ms):
        raise ValueError(f"{len(starts_s)} starts and {len(durations_ms)} durations")
    seconds = starts_s[-1] + durations_ms[-1] / 1e3
    step = max(SHORTEST_POINT_S, seconds / POINTS)
    stretches: dict[int, list[float]] = {}
    for start, duration in zip(starts_s, durations_ms, strict=True):
        stretches.setdefault(int(start / step), []).append(duration)
    return Curve(
        seconds=seconds,
        at_s=tuple(number * step for number in stretches),
        median_ms=tuple(statistics.median(runs) for runs in stretches.values()),
        burst_ms=_median_between(starts_s, durations_ms, 0.0, BURST_SHARE * seconds),
        plateau_ms=_median_between(
            starts_s, durations_ms, (1 - PLATEAU_SHARE) * seconds, float("inf")
        ),
    )


def _median_between(
    starts_s: Sequence[float], durations_ms: Sequence[float], low: float, high: float
) -> float:
    """Return the median of the runs that began in an interval, or of the run nearest to it."""
    inside = [d for s, d in zip(starts_s, durations_ms, strict=True) if low <= s < high]
    return statistics.median(inside or [durations_ms[0 if low == 0 else -1]])
