"""A measurement of which each block is made in a process of its own; run as a module, it is such a
process, and prints one JSON document.

The same artifact, loaded again, is a percent faster or slower by where its weights and buffers lie
in memory. Within one process that difference is the same in all rounds, so that no number of them
shows it; between processes it is part of what the blocks' ratios differ by, and of the interval.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.documents import Frozen
from lolvit.manifest import check_artifact, read_manifest
from lolvit_benchmarks.harness.candidates import Candidate, Configuration
from lolvit_benchmarks.harness.child import answer, run_module
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.system_monitor import (
    Machine,
    Reading,
    SystemMonitor,
    Usage,
    available_cores,
    pinned,
)
from lolvit_benchmarks.harness.timing import (
    Progress,
    Recording,
    Round,
    Runnable,
    measure_block,
)
from lolvit_runtimes.session import Array, open_session
from lolvit_runtimes.snr import snr_db

# Of a session's outputs before and after timing: the same session computes the same photo, and the
# order in which threads sum changes the last bits alone.
SAME_OUTPUTS_DB = 60.0
_ROUND = "round"  # begins a line about progress

Run = Callable[[], dict[str, Array]]


class TimedArtifact(Frozen):
    """An artifact of a request, and the file that holds its input, as numpy saves it."""

    name: str
    folder: Path
    artifact: str
    image: Path


class BlockRequest(Frozen):
    """One block: the plan is None in the first, which fits it."""

    runtime: str
    threads: int
    pin: bool
    artifacts: tuple[TimedArtifact, ...]
    profile: Profile
    plan: Profile | None
    block: int


class BlockAnswer(Frozen):
    """What was measured in one block, on `cores` (None: not pinned)."""

    plan: Profile
    rounds: tuple[Round, ...]
    readings: tuple[Reading, ...]
    usage: Usage
    cores: tuple[int, ...] | None
    outputs_changed: dict[str, str]


@dataclass
class BlockProcesses:
    """A measurement by processes, one after another: what they reported so far is here, also after
    an interruption. `module` is the one that is run."""

    configuration: Configuration
    pin: bool
    recording: Recording
    module: str = "lolvit_benchmarks.harness.processes"
    readings: list[Reading] = field(default_factory=list)
    usage: Usage | None = None
    cores: list[int] | None = None
    outputs_changed: dict[str, str] = field(default_factory=dict)

    @property
    def used_cores(self) -> int:
        """The number of cores that were measured on."""
        return len(self.cores or available_cores())

    def measure(
        self, candidates: Sequence[Candidate], profile: Profile, progress: Progress
    ) -> None:
        """Measure all blocks of the profile.

        Raises:
            DeviceError: the runtime failed, or crashed.
            UserError: an artifact was changed meanwhile.
        """
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as scratch:
            artifacts = _artifacts(candidates, Path(scratch))
            plan, block = None, 0
            while plan is None or block < plan.blocks:
                if block:
                    time.sleep(profile.cool_down_s)
                at_s = time.perf_counter() - start
                request = BlockRequest(
                    runtime=self.configuration.runtime,
                    threads=self.configuration.threads,
                    pin=self.pin,
                    artifacts=artifacts,
                    profile=profile,
                    plan=plan,
                    block=block,
                )
                made = self._run(request, Path(scratch) / "request.json", progress)
                self._add(made, at_s)
                plan, block = made.plan, block + 1

    def _run(self, request: BlockRequest, path: Path, progress: Progress) -> BlockAnswer:
        path.write_text(request.model_dump_json())

        def on_line(line: str) -> None:
            word, *numbers = line.split()
            if word == _ROUND and len(numbers) == 2:
                progress(int(numbers[0]), int(numbers[1]))

        what = f"measuring in {request.runtime}"
        return BlockAnswer.model_validate(
            run_module(self.module, [str(path)], what=what, on_line=on_line)
        )

    def _add(self, made: BlockAnswer, at_s: float) -> None:
        self.recording.plan = made.plan
        self.recording.rounds += made.rounds
        self.readings += (replace(one, at_s=at_s + one.at_s) for one in made.readings)
        self.usage = made.usage if self.usage is None else self.usage + made.usage
        self.cores = list(made.cores) if made.cores is not None else None
        self.outputs_changed |= made.outputs_changed


def _artifacts(candidates: Sequence[Candidate], scratch: Path) -> tuple[TimedArtifact, ...]:
    found = []
    for number, one in enumerate(candidates):
        image = scratch / f"{number}.npy"
        np.save(image, one.image)
        found.append(
            TimedArtifact(
                name=one.name,
                folder=one.prepared.folder.resolve(),
                artifact=one.artifact.path,
                image=image,
            )
        )
    return tuple(found)


def run_block(
    request: BlockRequest, wrap: Callable[[str, Run], Callable[[], object]] = lambda _, run: run
) -> BlockAnswer:
    """Measure one block in this process; `wrap` changes what is timed, by a candidate's name."""
    machine = Machine()
    keep_to_cores = pinned(request.threads, machine) if request.pin else nullcontext(None)
    with keep_to_cores as cores, _sessions(request) as runs:
        before = {name: copied(run()) for name, run in runs.items()}
        runnables = [Runnable(name, wrap(name, run)) for name, run in runs.items()]
        monitor = SystemMonitor(machine, cores or available_cores())
        recording = measure_block(
            runnables, request.profile, request.plan, request.block, monitor, progress=_print_round
        )
        usage = monitor.usage()
        changed = outputs_changed(before, {name: run() for name, run in runs.items()})
    assert recording.plan is not None
    return BlockAnswer(
        plan=recording.plan,
        rounds=tuple(recording.rounds),
        readings=tuple(monitor.readings),
        usage=usage,
        cores=tuple(cores) if cores is not None else None,
        outputs_changed=changed,
    )


@contextmanager
def _sessions(request: BlockRequest) -> Iterator[dict[str, Run]]:
    with ExitStack() as stack:
        runs: dict[str, Run] = {}
        for one in request.artifacts:
            manifest = read_manifest(one.folder)
            artifact = next(each for each in manifest.artifacts if each.path == one.artifact)
            path = check_artifact(one.folder, artifact)
            session = open_session(request.runtime, path, artifact, threads=request.threads)
            stack.enter_context(closing(session))
            runs[one.name] = partial(session.run, {artifact.image.name: np.load(one.image)})
        yield runs


def _print_round(done: int, planned: int) -> None:
    print(_ROUND, done, planned, file=sys.stderr, flush=True)


def copied(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return outputs that later runs of the session don't overwrite."""
    return {name: output.copy() for name, output in outputs.items()}


def outputs_changed(
    before: Mapping[str, Mapping[str, Array]], after: Mapping[str, Mapping[str, Array]]
) -> dict[str, str]:
    """Return, for each candidate whose outputs are no longer those before, how they differ."""
    found = {name: change_of_outputs(was, after[name]) for name, was in before.items()}
    return {name: change for name, change in found.items() if change is not None}


def change_of_outputs(before: Mapping[str, Array], after: Mapping[str, Array]) -> str | None:
    """Return how a session's outputs differ from those of an earlier run on the same input, or None
    where they agree."""
    for name, was in before.items():
        if after[name].shape != was.shape:
            return f"{name} has shape {after[name].shape}, not {was.shape}"
        found = snr_db(was.astype(np.float64), after[name].astype(np.float64))
        if found < SAME_OUTPUTS_DB and not np.array_equal(was, after[name]):
            return f"{name} agrees by {found:.0f} dB, less than {SAME_OUTPUTS_DB:g} dB"
    return None


def answer_request(
    arguments: Sequence[str],
    wrap: Callable[[str, Run], Callable[[], object]] = lambda _, run: run,
) -> int:
    """In the child: measure the block of the request file that is the only argument, and print the
    answer; return the exit code."""

    def document() -> dict[str, Any]:
        request = BlockRequest.model_validate_json(Path(arguments[0]).read_bytes())
        made: dict[str, Any] = run_block(request, wrap).model_dump(mode="json")
        return made

    return answer(document)


if __name__ == "__main__":
    sys.exit(answer_request(sys.argv[1:]))
