"""Measurements of an artifact against itself on this machine, in a file of JSON lines that is
written after each and from which an interrupted recording resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lolvit.documents import Frozen
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit.manifest import Sha256
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.coverage.estimators import NAMES, Pair
from lolvit_benchmarks.coverage.neighbours import Condition, running
from lolvit_benchmarks.harness.prepare import Prepared, open_photo, prepare_input
from lolvit_benchmarks.harness.schedule import PROFILES, Name
from lolvit_benchmarks.harness.system_monitor import (
    Machine,
    SystemMonitor,
    available_cores,
    pinned,
)
from lolvit_benchmarks.harness.timing import Recording, Runnable, measure
from lolvit_runtimes.session import open_session

# By how much longer the candidate's runs take in the condition `slower`: inside the timed region it
# waits for this share of the run that it has just made.
SLOWDOWN = 0.03


class Setup(Frozen):
    """What the runs of one file have in common."""

    artifact_sha256: Sha256
    runtime: str
    profile: Name


class Run(Frozen):
    """One measurement. Of each round, in order: its block, and the milliseconds of the candidate's
    and of the baseline's runs."""

    setup: Setup
    condition: Condition
    date: str
    seconds: float
    conditions: dict[str, float | int | bool | None]
    round_block: tuple[int, ...]
    candidate_ms: tuple[tuple[float, ...], ...]
    baseline_ms: tuple[tuple[float, ...], ...]

    @property
    def truth(self) -> float:
        """The true speedup."""
        return 1 / (1 + SLOWDOWN) if self.condition == "slower" else 1.0

    @property
    def pair(self) -> Pair:
        """The samples of both."""
        return Pair(np.asarray(self.candidate_ms), np.asarray(self.baseline_ms), self.round_block)

    @property
    def state(self) -> quality.State:
        """The quality that a result would have."""
        conditions = quality.Conditions(**self.conditions)  # type: ignore[arg-type]
        return quality.evaluate(*self.pair.series(), conditions).state


def read_runs(path: Path) -> list[Run]:
    """Return the runs of a file, none where there is no file yet. A last line that a killed process
    left unfinished is ignored.

    Raises:
        UserError: it can't be read, or a line is no run.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"can't be read: {error.strerror}", where=str(path)) from error
    return [
        _run_of(line, f"{path}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.endswith(b"\n")
    ]


def _run_of(line: bytes, where: str) -> Run:
    try:
        return Run.model_validate_json(line)
    except ValidationError as error:
        raise UserError(
            f"is no run: {error.errors()[0]['msg']}",
            where=where,
            remedy="give a file that `record` wrote, or a new name",
        ) from error


def record(
    prepared: Prepared,
    setup: Setup,
    path: Path,
    conditions: Sequence[Condition],
    count: int,
    say: Callable[[str], None],
) -> None:
    """Measure an artifact of `prepared` against itself until the file has `count` runs of each
    condition, in turns, so that whatever else the machine does affects all conditions alike.

    Raises:
        UserError: the file has runs of another set-up, or can't be read or written.
    """
    runs = read_runs(path)
    if any(run.setup != setup for run in runs):
        raise UserError(
            "has runs of another artifact, runtime or profile",
            where=str(path),
            remedy="give another file",
        )
    write_atomic(path, "".join(f"{run.model_dump_json()}\n" for run in runs))
    done = [run.condition for run in runs]
    for number in range(1, count + 1):
        for condition in conditions:
            if done.count(condition) >= number:
                continue
            run = _measured(prepared, setup, condition)
            done.append(condition)
            with path.open("a") as file:
                file.write(f"{run.model_dump_json()}\n")
            ratio = quality.speedup_of(*run.pair.series()).interval.value
            say(f"{number} of {count}, {condition}: {ratio:.4f} in {run.seconds:.1f} s")


def _measured(prepared: Prepared, setup: Setup, condition: Condition) -> Run:
    """Make one measurement as `lolvit bench` does, in sessions of its own."""
    recording = Recording()
    with (
        pinned(1, Machine()) as cores,
        _runnables(prepared, setup, condition) as runnables,
        running(condition, cores or available_cores()) as progress,
    ):
        monitor = SystemMonitor(Machine(), cores or available_cores())
        start = time.perf_counter()
        measure(runnables, PROFILES[setup.profile], recording, monitor, progress=progress)
        seconds = time.perf_counter() - start
        conditions = monitor.conditions()
    candidate, baseline = (
        tuple(
            tuple(ns / 1e6 for slot, durations in entry.slots if slot == name for ns in durations)
            for entry in recording.rounds
        )
        for name in NAMES
    )
    return Run(
        setup=setup,
        condition=condition,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        conditions=asdict(conditions),
        round_block=tuple(entry.block for entry in recording.rounds),
        candidate_ms=candidate,
        baseline_ms=baseline,
    )


@contextmanager
def _runnables(prepared: Prepared, setup: Setup, condition: Condition) -> Iterator[list[Runnable]]:
    """Open a session for each of the two, and close both in the end."""
    artifact = next(a for a in prepared.manifest.artifacts if a.sha256 == setup.artifact_sha256)
    image = prepare_input(open_photo(None), prepared.manifest.preprocessing, artifact)
    path = prepared.folder / artifact.path
    with ExitStack() as stack:
        runnables = []
        for name in NAMES:
            session = open_session(setup.runtime, path, artifact, threads=1)
            stack.enter_context(closing(session))
            run: Callable[[], object] = partial(session.run, {artifact.image.name: image})
            if condition == "slower" and name == "candidate":
                run = partial(_slowed, run)
            runnables.append(Runnable(name, run))
        yield runnables


def _slowed(run: Callable[[], object]) -> None:
    start = time.perf_counter_ns()
    run()
    end = time.perf_counter_ns()
    until = end + round(SLOWDOWN * (end - start))
    while time.perf_counter_ns() < until:
        pass
