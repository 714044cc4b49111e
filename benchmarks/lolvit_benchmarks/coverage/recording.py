"""Measurements of an artifact against itself on this machine, in a file of JSON lines that is
written after each and from which an interrupted recording resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lolvit.documents import Frozen
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit.manifest import Sha256
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.coverage import slowed
from lolvit_benchmarks.coverage.estimators import NAMES, Pair
from lolvit_benchmarks.coverage.neighbours import Condition, running
from lolvit_benchmarks.harness.candidates import Candidate, Configuration
from lolvit_benchmarks.harness.prepare import Prepared, open_photo, prepare_input
from lolvit_benchmarks.harness.processes import BlockProcesses
from lolvit_benchmarks.harness.schedule import PROFILES, Name, Profile
from lolvit_benchmarks.harness.sessions import opened, timed_artifact
from lolvit_benchmarks.harness.system_monitor import (
    Machine,
    SystemMonitor,
    available_cores,
    conditions_of,
    pick_cores,
    pinned,
)
from lolvit_benchmarks.harness.timing import Progress, Recording, Runnable, measure


class Setup(Frozen):
    """What the runs of one file have in common."""

    artifact_sha256: Sha256
    runtime: str
    profile: Name
    processes: bool


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
        return 1 / (1 + slowed.SHARE) if self.condition == "slower" else 1.0

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
            "has runs of another artifact, runtime, profile or choice of processes",
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
    profile = replace(PROFILES[setup.profile], processes=setup.processes)
    recording = Recording()
    candidates = _candidates(prepared, setup)
    used = pick_cores(1, available_cores(), Machine())
    with running(condition, used) as progress:
        start = time.perf_counter()
        if setup.processes:
            conditions = _by_processes(candidates, setup, condition, profile, recording, progress)
        else:
            conditions = _here(candidates, setup, condition, profile, recording, progress)
        seconds = time.perf_counter() - start
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


def _candidates(prepared: Prepared, setup: Setup) -> list[Candidate]:
    artifact = next(a for a in prepared.manifest.artifacts if a.sha256 == setup.artifact_sha256)
    image = prepare_input(open_photo(None), prepared.manifest.preprocessing, artifact)
    return [Candidate(name, name, prepared, artifact, image) for name in NAMES]


def _by_processes(
    candidates: Sequence[Candidate],
    setup: Setup,
    condition: Condition,
    profile: Profile,
    recording: Recording,
    progress: Progress,
) -> quality.Conditions:
    configuration = Configuration(setup.runtime, "fp32", 1)
    processes = BlockProcesses(configuration, True, recording)
    if condition == "slower":
        processes.module = slowed.__name__
    processes.measure(candidates, profile, progress)
    assert processes.usage is not None
    return conditions_of(
        processes.usage, processes.used_cores, processes.readings, interrupted=False
    )


def _here(
    candidates: Sequence[Candidate],
    setup: Setup,
    condition: Condition,
    profile: Profile,
    recording: Recording,
    progress: Progress,
) -> quality.Conditions:
    artifacts = [timed_artifact(one) for one in candidates]

    @contextmanager
    def opened_block(block: int) -> Iterator[list[Runnable]]:
        with opened(setup.runtime, 1, artifacts, {}, block) as runnables:
            if condition == "slower":
                runnables = [Runnable(o.name, slowed.slowed(o.name, o.run)) for o in runnables]
            yield runnables

    with pinned(1, Machine()) as cores:
        monitor = SystemMonitor(Machine(), cores or available_cores())
        measure(opened_block, profile, recording, monitor, progress=progress)
        return monitor.conditions()
