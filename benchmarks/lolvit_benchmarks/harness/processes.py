"""A measurement of which each block is made in a process of its own; run as a module, it is such a
process, and prints one JSON document.

A process that has measured nothing before has its memory laid out anew, as each start of an
application has: see `lolvit_benchmarks.harness.sessions`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.documents import Frozen
from lolvit.manifest import check_artifact, read_manifest
from lolvit_benchmarks.harness.candidates import Candidate, Configuration
from lolvit_benchmarks.harness.child import answer, run_module
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.sessions import TimedArtifact, opened
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

_ROUND = "round"  # begins a line about progress

Wrap = Callable[[str, Callable[[], object]], Callable[[], object]]


class RequestArtifact(Frozen):
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
    artifacts: tuple[RequestArtifact, ...]
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


def _artifacts(candidates: Sequence[Candidate], scratch: Path) -> tuple[RequestArtifact, ...]:
    found = []
    for number, one in enumerate(candidates):
        image = scratch / f"{number}.npy"
        np.save(image, one.image)
        found.append(
            RequestArtifact(
                name=one.name,
                folder=one.prepared.folder.resolve(),
                artifact=one.artifact.path,
                image=image,
            )
        )
    return tuple(found)


def _unchanged(name: str, run: Callable[[], object]) -> Callable[[], object]:
    return run


def run_block(request: BlockRequest, wrap: Wrap = _unchanged) -> BlockAnswer:
    """Measure one block in this process; `wrap` changes what is timed, by a candidate's name."""
    machine, recording = Machine(), Recording(request.plan)
    changed: dict[str, str] = {}
    keep_to_cores = pinned(request.threads, machine) if request.pin else nullcontext(None)
    artifacts = [_timed(one) for one in request.artifacts]
    with (
        keep_to_cores as cores,
        opened(request.runtime, request.threads, artifacts, changed, request.block) as runnables,
    ):
        wrapped = [Runnable(one.name, wrap(one.name, one.run)) for one in runnables]
        monitor = SystemMonitor(machine, cores or available_cores())
        measure_block(
            wrapped, request.profile, request.block, recording, monitor, progress=_print_round
        )
        usage = monitor.usage()
    assert recording.plan is not None
    return BlockAnswer(
        plan=recording.plan,
        rounds=tuple(recording.rounds),
        readings=tuple(monitor.readings),
        usage=usage,
        cores=tuple(cores) if cores is not None else None,
        outputs_changed=changed,
    )


def _timed(one: RequestArtifact) -> TimedArtifact:
    manifest = read_manifest(one.folder)
    artifact = next(each for each in manifest.artifacts if each.path == one.artifact)
    path = check_artifact(one.folder, artifact)
    return TimedArtifact(one.name, path, artifact, np.load(one.image))


def _print_round(done: int, planned: int) -> None:
    print(_ROUND, done, planned, file=sys.stderr, flush=True)


def answer_request(
    arguments: Sequence[str],
    wrap: Wrap = _unchanged,
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
