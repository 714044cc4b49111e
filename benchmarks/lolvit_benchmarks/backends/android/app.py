"""The app on a phone as a measurer: prepared, given files and requests, its recordings checked."""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lolvit.documents import parse_json
from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.backends.android import contract
from lolvit_benchmarks.backends.android.blocks import Block, CandidateStats, Plan, Slot
from lolvit_benchmarks.backends.android.client import Adb, OnLine, RemoteFile, push_missing
from lolvit_benchmarks.backends.android.contract import (
    DeviceRecording,
    DeviceRequest,
    RecordedCandidate,
    RequestCandidate,
    RequestSlot,
)
from lolvit_benchmarks.backends.android.restore import Journal
from lolvit_benchmarks.harness.schedule import Profile, fitted, warm_up_iterations

Model = TypeVar("Model", bound=BaseModel)

_PREPARE_S = 60.0
_BLOCK_S = 300.0  # timeout without the runs: start of the app, loading, a slow phone
_RESULT = re.compile(r"^INSTRUMENTATION_RESULT: (\w+)=(.*)$", re.MULTILINE)
_STATUS = re.compile(r"INSTRUMENTATION_STATUS: slots=(\d{1,6})")
_MAX_RECORDING_BYTES = 32 << 20


@dataclass(frozen=True)
class App:
    """The app on one phone after `prepare_app`; `facts` are its answer."""

    adb: Adb
    facts: contract.DeviceFacts

    @property
    def _files(self) -> str:
        return f"{self.facts.folder}/files"

    def file(self, local: Path, sha256: str) -> RemoteFile:
        """Return a local file with its path in the app's folder, named by its sha256."""
        return RemoteFile(local, sha256, f"{self._files}/{sha256}{local.suffix.lower()}")

    def push(self, files: list[RemoteFile]) -> list[RemoteFile]:
        """Push the files that the app doesn't have; return them.

        Raises:
            UserError, DeviceError: as `push_missing`.
        """
        return push_missing(self.adb, self._files, files)

    def run(
        self, request: contract.DeviceRequest, on_slot: OnLine, timeout_s: float
    ) -> contract.DeviceRecording:
        """Measure one block; `on_slot` is called with the number of finished slots, as text.

        Raises:
            DeviceError: the connection was lost, the app failed, or its recording is invalid.
        """
        text = request.model_dump_json(indent=1)
        name = secrets.token_hex(8)
        remote = [f"{self.facts.folder}/{name}.{kind}.json" for kind in ("request", "recording")]
        with tempfile.TemporaryDirectory() as scratch:
            sent, received = Path(scratch) / "request.json", Path(scratch) / "recording.json"
            sent.write_text(text)
            self.adb.push(sent, remote[0], _PREPARE_S)
            _run_instrumentation(
                self.adb, {"action": "run", "run": name}, timeout_s, _slot_progress(on_slot)
            )
            self.adb.pull(remote[1], received)
            recording = self._recording(received)
        digest = hashlib.sha256(text.encode()).hexdigest()
        mismatch = contract.find_mismatch(recording, request, digest)
        if mismatch is not None:
            raise _invalid_answer(f"its recording {mismatch}")
        self.adb.shell(["rm", "-f", *remote])
        return recording

    def _recording(self, path: Path) -> contract.DeviceRecording:
        if path.stat().st_size > _MAX_RECORDING_BYTES:
            raise _invalid_answer(f"a recording of {path.stat().st_size} bytes")
        data = path.read_bytes()
        return _parse(data, contract.DeviceRecording, "recording")


def prepare_app(adb: Adb, journal: Journal, runtimes: set[str]) -> App:
    """Have the app make its folder and report its runtimes.

    Raises:
        UserError: the app is not installed, or lacks a runtime.
        DeviceError: the connection was lost, or the app's answer is invalid.
    """
    if adb.shell(["pm", "path", contract.PACKAGE]).code != 0:
        raise UserError(
            f"the app {contract.PACKAGE} is not installed",
            where=f"adb:{adb.serial}",
            remedy="run: make android, then adb install; or use a benchmark program with --binary",
        )
    journal.record(app=True)
    answer = _run_instrumentation(adb, {"action": "prepare"}, _PREPARE_S, lambda line: None)
    facts = _parse(answer.get("facts", "").encode(), contract.DeviceFacts, "facts")
    missing = sorted(runtimes - set(facts.runtimes))
    if missing:
        raise UserError(
            f"the app has no runtime {', '.join(missing)}, only {', '.join(facts.runtimes)}",
            where=f"adb:{adb.serial}",
            remedy=f"give --runtime {','.join(facts.runtimes)}",
        )
    journal.record(folders=(*journal.read().folders, facts.folder))
    return App(adb, facts)


def _run_instrumentation(
    adb: Adb, extras: dict[str, str], timeout_s: float, on_line: OnLine
) -> dict[str, str]:
    """Run the app's instrumentation, and return its results by name.

    Raises:
        DeviceError: the connection was lost, or the app failed or crashed.
    """
    words = [word for name, value in extras.items() for word in ("-e", name, value)]
    command = ["am", "instrument", "-w", "-r", *words, contract.INSTRUMENTATION]
    result = adb.stream(command, on_line, timeout_s)
    answer = dict(_RESULT.findall(result.output.replace("\r", "")))
    if "INSTRUMENTATION_CODE: -1" in result.output and "error" not in answer:
        return answer
    message = answer.get("error") or answer.get("longMsg") or answer.get("shortMsg")
    what = message or (result.errors or result.output).strip()[-200:] or "no message"
    raise DeviceError(f"the app failed: {what}")


def _slot_progress(on_slot: OnLine) -> OnLine:
    """Return a receiver of the instrumentation's output that passes on its slot counts."""

    def on_line(text: str) -> None:
        found = _STATUS.match(text)
        if found:
            on_slot(found[1])

    return on_line


def _parse(data: bytes, model: type[Model], what: str) -> Model:
    try:
        parse_json(data)  # refuses repeated keys
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _invalid_answer(f"its {what}, field '{field}': {first['msg']}") from error
    except ValueError as error:
        raise _invalid_answer(f"its {what} is not JSON: {error}") from error


def _invalid_answer(what: str) -> DeviceError:
    return DeviceError(
        f"the app's answer is invalid: {what}",
        remedy="install the app of this version of lolvit",
    )


@dataclass(frozen=True)
class AppMeasurer:
    """The app on one phone as `Measurer`; the candidates' files are pushed."""

    app: App
    runtime: str
    threads: int
    candidates: tuple[RequestCandidate, ...]
    profile: Profile
    on_slot: Callable[[int], None] = lambda done: None

    @property
    def identity(self) -> str:
        """Versions of the app and of its runtime."""
        facts = self.app.facts
        return f"{facts.app_version} {self.runtime} {facts.runtimes[self.runtime]}"

    def calibrate(self, names: Sequence[str]) -> Block:
        """As `Measurer.calibrate`."""
        return self._run([(name, 0, 1) for name in names], 0)

    def plan(self, profile: Profile, calibration: Block) -> Plan:
        """As `Measurer.plan`."""
        runs_s = [stats.run_ms / 1e3 for stats in calibration.candidates.values()]
        fit = fitted(profile, runs_s)
        warm_up = {n: warm_up_iterations(s.run_ms / 1e3) for n, s in calibration.candidates.items()}
        return Plan(blocks=fit.blocks, rounds=fit.rounds, burst=fit.burst, warm_up=warm_up)

    def block(self, plan: Plan, number: int) -> Block:
        """As `Measurer.block`."""
        return self._run(plan.slots(number), number)

    def notes(self) -> tuple[str, ...]:
        """As `Measurer.notes`."""
        return ("Each block was measured in a process of its own on the phone.",)

    def _run(self, slots: Sequence[tuple[str, int, int]], number: int) -> Block:
        # The first one to be loaded rotates: by where its memory lies, it is a little slower.
        start = number % len(self.candidates)
        request = DeviceRequest(
            runtime=self.runtime,
            threads=self.threads,
            candidates=(*self.candidates[start:], *self.candidates[:start]),
            warm_up_runs=self.profile.warm_up_runs,
            warm_up_s=self.profile.warm_up_s,
            slots=tuple(RequestSlot(candidate=n, warm_up_runs=s, burst=b) for n, s, b in slots),
        )
        timeout_s = _BLOCK_S + 10 * self.profile.seconds
        answer = self.app.run(request, lambda text: self.on_slot(int(text)), timeout_s)
        return _block(answer)


def _block(answer: DeviceRecording) -> Block:
    details = {"app": answer.app_version}
    if answer.cpuset is not None:
        details["cpuset"] = answer.cpuset
    return Block(
        slots=tuple(Slot(candidate=s.candidate, durations_ns=s.durations_ns) for s in answer.slots),
        candidates={candidate.name: _stats(candidate) for candidate in answer.candidates},
        runtime_version=answer.runtime_version,
        details=details,
    )


def _stats(candidate: RecordedCandidate) -> CandidateStats:
    return CandidateStats(**candidate.model_dump(exclude={"name", "artifact_sha256"}))
