"""One phone, measured: as `devices.measured.Measuring`."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit_benchmarks.backends.android import phone as adb_phone
from lolvit_benchmarks.backends.android import restore as adb_restore
from lolvit_benchmarks.backends.android.app import App, prepare_app
from lolvit_benchmarks.backends.android.app_runs import AppRuns
from lolvit_benchmarks.backends.android.blocks import Measurer, recording_of
from lolvit_benchmarks.backends.android.client import Adb, StoppedError
from lolvit_benchmarks.backends.android.parts import Parts, PartsFile
from lolvit_benchmarks.backends.android.phone import Facts, Reading, described, recorded
from lolvit_benchmarks.backends.android.program import Program, ProgramRuns
from lolvit_benchmarks.backends.android.push import Load, push_missing
from lolvit_benchmarks.backends.android.reference import References
from lolvit_benchmarks.backends.android.restore import SHELL_FOLDER, Journal
from lolvit_benchmarks.backends.android.summary import inspection_of, request_of, telemetry_of
from lolvit_benchmarks.backends.android.thermal import Cooling, wait_until_cool
from lolvit_benchmarks.backends.backend import DeviceInspection as SeenOnDevice
from lolvit_benchmarks.backends.backend import Say, Telemetry
from lolvit_benchmarks.harness.candidates import Candidate, Configuration
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.timing import Progress, Recording

RECONNECT_S = 15.0


@dataclass(frozen=True)
class Manner:
    """How phones are measured: when one is too hot, where parts are kept, and by what: the app, or
    a program of the user's."""

    cooling: Cooling
    folder: Path
    program: Program | None = None
    runtimes: frozenset[str] = frozenset()
    reconnect_s: float = RECONNECT_S


@dataclass
class _Cell:
    """The measurement that goes on: what it is of, and what was found so far."""

    setting: Configuration
    candidates: Sequence[Candidate]
    since: float = field(default_factory=time.monotonic)
    parts: Parts | None = None
    last: Reading | None = None
    agreement: dict[str, float] = field(default_factory=dict)
    measurer: Measurer | None = None


class Phone:
    """A phone by its serial, from finding it to putting it back."""

    def __init__(self, adb: Adb, manner: Manner, references: References) -> None:
        self.id = f"adb:{adb.serial}"
        self._adb, self._manner, self._references = adb, manner, references
        self._journal = Journal(adb.serial)
        self._held = ExitStack()  # the lock and the scratch folder
        self._reached = False
        self._say: Say = lambda line: None
        self._scratch = Path()
        self._facts: Facts | None = None
        self._before: Reading | None = None
        self._app: App | None = None
        self._remote: dict[str, tuple[Load, Load]] = {}
        self._denormal: dict[str, float | None] = {}
        self._cell: _Cell | None = None
        self._files: list[PartsFile] = []

    def prepare(self, say: Say) -> None:
        """As `Measuring.prepare`."""
        self._say = say
        self._held.enter_context(self._journal.locked())
        self._scratch = Path(self._held.enter_context(tempfile.TemporaryDirectory()))
        adb_phone.require_ready(self._adb)
        self._reached = True
        self._put_back_earlier()
        self._facts = adb_phone.read_facts(self._adb)
        self._before = self._cool()
        _refuse_battery_saver(self._adb)
        adb_restore.keep_awake(self._adb, self._journal, self._before.awake)
        program = self._manner.program
        if program is None:
            self._app = prepare_app(self._adb, self._journal, set(self._manner.runtimes))
        else:
            program.require_abi(self._facts.abis, self._adb.serial)
            self._journal.note(folders=(SHELL_FOLDER,))
            self._adb.shell(["mkdir", "-p", SHELL_FOLDER])

    def push(self, candidates: Sequence[Candidate], say: Say) -> None:
        """As `Measuring.push`.

        Raises:
            UserError: an artifact's activations are denormal, or the phone is full.
        """
        self._remote = {one.name: self._loads(one) for one in candidates}
        loads = [load for pair in self._remote.values() for load in pair]
        if self._app is not None:
            sent = self._app.push(loads)
        else:
            program = [self._manner.program.load()] if self._manner.program else []
            artifacts = [artifact for artifact, _ in self._remote.values()]
            sent = push_missing(self._adb, SHELL_FOLDER, [*program, *artifacts])
        size = sum(load.bytes for load in sent) / 1e6
        say(f"{self.id}: {len(sent)} files pushed, {size:.1f} MB; the others were there")

    def measure(
        self,
        candidates: Sequence[Candidate],
        setting: Configuration,
        profile: Profile,
        recording: Recording,
        progress: Progress,
    ) -> None:
        """As `Measuring.measure`; blocks that an earlier run made are taken over."""
        for one in candidates:
            self._denormal[one.name] = self._references.check(setting.runtime, one)
        cell = self._cell = _Cell(setting, candidates)
        measurer = cell.measurer = self._measurer(cell, profile, progress)
        file = self._parts_file(cell, profile)
        cell.parts = file.read() or self._look(cell, measurer, profile)
        self._agree(cell)
        if cell.parts.blocks:
            done, planned = len(cell.parts.blocks), cell.parts.plan.blocks
            self._say(f"{self.id}: {done} of {planned} blocks are there from an earlier run")
            self._record(cell, profile, recording, progress)
        for number in range(len(cell.parts.blocks), cell.parts.plan.blocks):
            before = recorded(self._cool(), cell.since)
            block = measurer.block(cell.parts.plan, number)
            after = recorded(self._read(), cell.since)
            block = block.model_copy(update={"readings": (before, after)})
            blocks = (*cell.parts.blocks, block)
            cell.parts = cell.parts.model_copy(update={"blocks": blocks})
            file.write(cell.parts)
            self._record(cell, profile, recording, progress)

    def inspections(self) -> Mapping[str, SeenOnDevice]:
        """As `Measuring.inspections`."""
        cell = self._cell
        if cell is None or cell.parts is None:
            return {}
        return {one.name: self._seen(one.name, cell.parts) for one in cell.candidates}

    def telemetry(self, *, interrupted: bool) -> Telemetry:
        """As `Measuring.telemetry`."""
        cell, facts, before = self._cell, self._facts, self._before
        if cell is None or cell.parts is None or facts is None or before is None:
            raise RuntimeError("telemetry before a measurement")
        last = cell.last or before
        details = {f"SNR of {name}": f"{db:.1f} dB" for name, db in cell.agreement.items()}
        for block in cell.parts.blocks:
            details |= block.details
        readings = [reading for block in cell.parts.blocks for reading in block.readings]
        return telemetry_of(
            facts,
            described(facts, before, last, details),
            readings,
            limit_c=self._manner.cooling.max_c,
            interrupted=interrupted,
            notes=cell.measurer.notes() if cell.measurer is not None else (),
        )

    def restore(self, say: Say) -> None:
        """As `Measuring.restore`: also of a phone that was lost, if it comes back in time."""
        with self._held:
            if not (self._reached and self._journal.path.exists()):
                return
            adb = self._adb.unstoppable()
            try:
                if not adb.reconnect(self._manner.reconnect_s):
                    raise DeviceError("the phone is gone")
                adb_restore.put_back(adb, self._journal)
            except LolvitError as error:
                say(f"{self.id}: {error.what}; the next run on it puts back what was changed")

    def forget(self) -> None:
        """Remove the parts of measurements, whose results are kept now."""
        for file in self._files:
            file.remove()

    def _put_back_earlier(self) -> None:
        if self._journal.path.exists():
            self._say(f"{self.id}: putting back what an earlier run had changed")
            adb_restore.put_back(self._adb, self._journal)

    def _read(self) -> Reading:
        assert self._facts is not None
        reading = adb_phone.read_now(self._adb, self._facts)
        if self._cell is not None:
            self._cell.last = reading
        return reading

    def _cool(self) -> Reading:
        return wait_until_cool(self._read, self._manner.cooling, self._pause, self._say, self.id)

    def _pause(self, seconds: float) -> None:
        if self._adb.stop.wait(seconds):
            raise StoppedError

    def _loads(self, one: Candidate) -> tuple[Load, Load]:
        """Return the artifact and its input as files to push."""
        artifact = one.prepared.folder / one.artifact.path
        data = one.image.astype(one.image.dtype.newbyteorder("<"), copy=False).tobytes()
        digest = hashlib.sha256(data).hexdigest()
        image = self._scratch / f"{digest}.bin"
        image.write_bytes(data)
        if self._app is not None:
            sha256 = one.artifact.sha256
            return self._app.load(artifact, sha256), self._app.load(image, digest)
        remote = f"{SHELL_FOLDER}/{one.artifact.sha256}{artifact.suffix}"
        return Load(artifact, one.artifact.sha256, remote), Load(image, digest, "")

    def _measurer(self, cell: _Cell, profile: Profile, progress: Progress) -> Measurer:
        setting = cell.setting

        def hear(slots: int) -> None:
            if cell.parts is not None:
                progress(*cell.parts.rounds_at(slots))

        if self._app is not None:
            entrants = tuple(request_of(one, *self._remote[one.name]) for one in cell.candidates)
            return AppRuns(self._app, setting.runtime, setting.threads, entrants, profile, hear)
        assert self._manner.program is not None
        artifacts = {name: artifact.remote for name, (artifact, _) in self._remote.items()}
        return ProgramRuns(self._adb, self._manner.program, artifacts, setting.threads, hear)

    def _look(self, cell: _Cell, measurer: Measurer, profile: Profile) -> Parts:
        names = [one.name for one in cell.candidates]
        self._say(f"{self.id}: looking at {', '.join(names)}")
        look = measurer.look(names)
        return Parts(look=look, plan=measurer.plan(profile, look))

    def _agree(self, cell: _Cell) -> None:
        assert cell.parts is not None
        for one in cell.candidates:
            logits = cell.parts.look.seen[one.name].logits
            if logits is not None:
                db = self._references.agreement_db(cell.setting.runtime, one, logits)
                cell.agreement[one.name] = db

    def _parts_file(self, cell: _Cell, profile: Profile) -> PartsFile:
        assert self._facts is not None and cell.measurer is not None
        depends_on = {
            "build": self._facts.details.get("build"),
            "measurer": cell.measurer.identity,
            "setting": asdict(cell.setting),
            "profile": asdict(profile),
            "entrants": [(one.name, *(load.sha256 for load in self._remote[one.name]))
                         for one in cell.candidates],
        }  # fmt: skip
        file = PartsFile(self._manner.folder, self._adb.serial, depends_on)
        self._files.append(file)
        return file

    def _record(
        self, cell: _Cell, profile: Profile, recording: Recording, progress: Progress
    ) -> None:
        assert cell.parts is not None
        made = recording_of(cell.parts.blocks, cell.parts.plan, profile)
        recording.plan, recording.rounds[:] = made.plan, made.rounds
        progress(len(made.rounds), cell.parts.plan.blocks * cell.parts.plan.rounds)

    def _seen(self, name: str, parts: Parts) -> SeenOnDevice:
        return SeenOnDevice(inspection_of(name, parts, self._denormal.get(name)), None)


def _refuse_battery_saver(adb: Adb) -> None:
    if adb.shell(["settings", "get", "global", "low_power"]).output.strip() == "1":
        raise UserError(
            "the phone's battery saver is on, which slows it down",
            where=f"adb:{adb.serial}",
            remedy="switch it off in the phone's settings",
        )
