"""One phone as `backends.measuring.Measuring`."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit_benchmarks.analysis.quality import Conditions
from lolvit_benchmarks.backends.android.app import App, AppMeasurer, prepare_app
from lolvit_benchmarks.backends.android.blocks import (
    Measurer,
    PartialFile,
    PartialMeasurement,
    recording_of,
)
from lolvit_benchmarks.backends.android.client import Adb, RemoteFile, StoppedError, push_missing
from lolvit_benchmarks.backends.android.contract import RequestCandidate, RequestFile
from lolvit_benchmarks.backends.android.phone import (
    PhoneInfo,
    PhoneState,
    ThermalLimit,
    device_info,
    read_info,
    read_state,
    require_ready,
    result_reading,
    wait_until_cool,
)
from lolvit_benchmarks.backends.android.program import Program, ProgramMeasurer
from lolvit_benchmarks.backends.android.reference import References
from lolvit_benchmarks.backends.android.restore import (
    SHELL_FOLDER,
    Journal,
    keep_awake,
    restore_changes,
)
from lolvit_benchmarks.backends.backend import DeviceInspection, Say, Telemetry
from lolvit_benchmarks.harness.candidates import Candidate, Configuration
from lolvit_benchmarks.harness.inspection import Inspection
from lolvit_benchmarks.harness.schedule import Profile
from lolvit_benchmarks.harness.timing import Progress, Recording
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo

RECONNECT_S = 15.0
_NO_TEMPERATURE = "The phone reports no temperature: it was not monitored."


@dataclass(frozen=True)
class PhoneOptions:
    """How phones are measured: thermal limit, folder of partial measurements, and the benchmark
    program (None: the app, with `runtimes`). A lost phone is awaited for `reconnect_s` seconds."""

    thermal_limit: ThermalLimit
    folder: Path
    program: Program | None = None
    runtimes: frozenset[str] = frozenset()
    reconnect_s: float = RECONNECT_S


@dataclass
class _Case:
    """The current benchmark case: candidates, configuration, and results so far."""

    configuration: Configuration
    candidates: Sequence[Candidate]
    since: float = field(default_factory=time.monotonic)
    partial: PartialMeasurement | None = None
    last: PhoneState | None = None
    snr_db: dict[str, float] = field(default_factory=dict)
    measurer: Measurer | None = None


class Phone:
    """A phone, from its preparation to its restoration."""

    def __init__(self, adb: Adb, options: PhoneOptions, references: References) -> None:
        self.id = f"adb:{adb.serial}"
        self._adb, self._options, self._references = adb, options, references
        self._journal = Journal(adb.serial)
        self._resources = ExitStack()  # the lock and the scratch folder
        self._connected = False
        self._say: Say = lambda line: None
        self._scratch = Path()
        self._info: PhoneInfo | None = None
        self._before: PhoneState | None = None
        self._app: App | None = None
        self._remote: dict[str, tuple[RemoteFile, RemoteFile]] = {}
        self._denormal: dict[str, float | None] = {}
        self._case: _Case | None = None
        self._partial_files: list[PartialFile] = []

    def prepare(self, say: Say) -> None:
        """As `Measuring.prepare`."""
        self._say = say
        self._resources.enter_context(self._journal.locked())
        self._scratch = Path(self._resources.enter_context(tempfile.TemporaryDirectory()))
        require_ready(self._adb)
        self._connected = True
        self._restore_earlier()
        self._info = read_info(self._adb)
        self._before = self._cool()
        _require_no_battery_saver(self._adb)
        keep_awake(self._adb, self._journal, self._before.awake)
        program = self._options.program
        if program is None:
            self._app = prepare_app(self._adb, self._journal, set(self._options.runtimes))
        else:
            program.require_abi(self._info.abis, self._adb.serial)
            self._journal.record(folders=(SHELL_FOLDER,))
            self._adb.shell(["mkdir", "-p", SHELL_FOLDER])

    def push(self, candidates: Sequence[Candidate], say: Say) -> None:
        """As `Measuring.push`.

        Raises:
            UserError: the phone's storage is full.
        """
        self._remote = {candidate.name: self._files_of(candidate) for candidate in candidates}
        files = [file for pair in self._remote.values() for file in pair]
        if self._app is not None:
            pushed = self._app.push(files)
        else:
            program = [self._options.program.file()] if self._options.program else []
            artifacts = [artifact for artifact, _ in self._remote.values()]
            pushed = push_missing(self._adb, SHELL_FOLDER, [*program, *artifacts])
        size = sum(file.bytes for file in pushed) / 1e6
        say(f"{self.id}: {len(pushed)} files pushed, {size:.1f} MB; the others were present")

    def measure(
        self,
        candidates: Sequence[Candidate],
        configuration: Configuration,
        profile: Profile,
        recording: Recording,
        progress: Progress,
    ) -> None:
        """As `Measuring.measure`; resumes after the finished blocks of an earlier run."""
        for candidate in candidates:
            self._denormal[candidate.name] = self._references.check(
                configuration.runtime, candidate
            )
        case = self._case = _Case(configuration, candidates)
        measurer = case.measurer = self._measurer(case, profile, progress)
        file = self._partial_file(case, profile)
        case.partial = file.read() or self._calibrate(case, measurer, profile)
        self._check_logits(case)
        if case.partial.blocks:
            done, planned = len(case.partial.blocks), case.partial.plan.blocks
            self._say(f"{self.id}: resuming after {done} of {planned} blocks of an earlier run")
            self._record(case, profile, recording, progress)
        for number in range(len(case.partial.blocks), case.partial.plan.blocks):
            before = result_reading(self._cool(), case.since)
            block = measurer.block(case.partial.plan, number)
            after = result_reading(self._read(), case.since)
            block = block.model_copy(update={"readings": (before, after)})
            blocks = (*case.partial.blocks, block)
            case.partial = case.partial.model_copy(update={"blocks": blocks})
            file.write(case.partial)
            self._record(case, profile, recording, progress)

    def inspections(self) -> Mapping[str, DeviceInspection]:
        """As `Measuring.inspections`."""
        case = self._case
        if case is None or case.partial is None:
            return {}
        return {
            candidate.name: self._inspected(candidate.name, case.partial)
            for candidate in case.candidates
        }

    def telemetry(self, *, interrupted: bool) -> Telemetry:
        """As `Measuring.telemetry`."""
        case, phone, before = self._case, self._info, self._before
        if case is None or case.partial is None or phone is None or before is None:
            raise RuntimeError("telemetry before a measurement")
        last = case.last or before
        details = {f"SNR of {name}": f"{db:.1f} dB" for name, db in case.snr_db.items()}
        for block in case.partial.blocks:
            details |= block.details
        readings = [reading for block in case.partial.blocks for reading in block.readings]
        return telemetry_of(
            phone,
            device_info(phone, before, last, details),
            readings,
            limit_c=self._options.thermal_limit.max_c,
            interrupted=interrupted,
            notes=case.measurer.notes() if case.measurer is not None else (),
        )

    def restore(self, say: Say) -> None:
        """As `Measuring.restore`; a lost phone too, if it reconnects in time."""
        with self._resources:
            if not (self._connected and self._journal.path.exists()):
                return
            adb = self._adb.without_stop()
            try:
                if not adb.reconnect(self._options.reconnect_s):
                    raise DeviceError("the phone is disconnected")
                restore_changes(adb, self._journal)
            except LolvitError as error:
                say(f"{self.id}: {error.what}; the next run on this phone restores its settings")

    def remove_partial_files(self) -> None:
        """Remove the files of partial measurements, once their results are written."""
        for file in self._partial_files:
            file.remove()

    def _restore_earlier(self) -> None:
        if self._journal.path.exists():
            self._say(f"{self.id}: restoring what an earlier run changed")
            restore_changes(self._adb, self._journal)

    def _read(self) -> PhoneState:
        assert self._info is not None
        state = read_state(self._adb, self._info)
        if self._case is not None:
            self._case.last = state
        return state

    def _cool(self) -> PhoneState:
        return wait_until_cool(
            self._read, self._options.thermal_limit, self._pause, self._say, self.id
        )

    def _pause(self, seconds: float) -> None:
        if self._adb.stop.wait(seconds):
            raise StoppedError

    def _files_of(self, candidate: Candidate) -> tuple[RemoteFile, RemoteFile]:
        """Return the artifact and its input as files to push."""
        artifact = candidate.prepared.folder / candidate.artifact.path
        data = candidate.image.astype(candidate.image.dtype.newbyteorder("<"), copy=False).tobytes()
        digest = hashlib.sha256(data).hexdigest()
        image = self._scratch / f"{digest}.bin"
        image.write_bytes(data)
        if self._app is not None:
            sha256 = candidate.artifact.sha256
            return self._app.file(artifact, sha256), self._app.file(image, digest)
        remote = f"{SHELL_FOLDER}/{candidate.artifact.sha256}{artifact.suffix}"
        pushed = RemoteFile(artifact, candidate.artifact.sha256, remote)
        return pushed, RemoteFile(image, digest, "")  # a program makes its own input

    def _measurer(self, case: _Case, profile: Profile, progress: Progress) -> Measurer:
        configuration = case.configuration

        def on_slot(slots: int) -> None:
            if case.partial is not None:
                progress(*case.partial.rounds_done(slots))

        if self._app is not None:
            candidates = tuple(
                request_of(candidate, *self._remote[candidate.name])
                for candidate in case.candidates
            )
            return AppMeasurer(
                self._app,
                configuration.runtime,
                configuration.threads,
                candidates,
                profile,
                on_slot,
            )
        assert self._options.program is not None
        artifacts = {name: artifact.remote for name, (artifact, _) in self._remote.items()}
        return ProgramMeasurer(
            self._adb, self._options.program, artifacts, configuration.threads, on_slot
        )

    def _calibrate(self, case: _Case, measurer: Measurer, profile: Profile) -> PartialMeasurement:
        names = [candidate.name for candidate in case.candidates]
        self._say(f"{self.id}: calibrating {', '.join(names)}")
        calibration = measurer.calibrate(names)
        return PartialMeasurement(calibration=calibration, plan=measurer.plan(profile, calibration))

    def _check_logits(self, case: _Case) -> None:
        assert case.partial is not None
        for candidate in case.candidates:
            logits = case.partial.calibration.candidates[candidate.name].logits
            if logits is not None:
                db = self._references.require_agreement(
                    case.configuration.runtime, candidate, logits
                )
                case.snr_db[candidate.name] = db

    def _partial_file(self, case: _Case, profile: Profile) -> PartialFile:
        assert self._info is not None and case.measurer is not None
        depends_on = {
            "build": self._info.details.get("build"),
            "measurer": case.measurer.identity,
            "configuration": asdict(case.configuration),
            "profile": asdict(profile),
            "candidates": [(candidate.name, *(file.sha256 for file in self._remote[candidate.name]))
                         for candidate in case.candidates],
        }  # fmt: skip
        file = PartialFile(self._options.folder, self._adb.serial, depends_on)
        self._partial_files.append(file)
        return file

    def _record(
        self, case: _Case, profile: Profile, recording: Recording, progress: Progress
    ) -> None:
        assert case.partial is not None
        joined = recording_of(case.partial.blocks, case.partial.plan, profile)
        recording.plan, recording.rounds[:] = joined.plan, joined.rounds
        progress(len(joined.rounds), case.partial.plan.blocks * case.partial.plan.rounds)

    def _inspected(self, name: str, partial: PartialMeasurement) -> DeviceInspection:
        return DeviceInspection(inspection_of(name, partial, self._denormal.get(name)), None)


def _require_no_battery_saver(adb: Adb) -> None:
    if adb.shell(["settings", "get", "global", "low_power"]).output.strip() == "1":
        raise UserError(
            "the phone's battery saver is on, which throttles it",
            where=f"adb:{adb.serial}",
            remedy="switch it off in the phone's settings",
        )


def telemetry_of(
    phone: PhoneInfo,
    info: DeviceInfo,
    readings: Sequence[result.Reading],
    *,
    limit_c: float,
    interrupted: bool,
    notes: tuple[str, ...],
) -> Telemetry:
    """Summarise readings; those that make a result unstable become conditions."""
    celsius = [r.temperature_c for r in readings if r.temperature_c is not None]
    mhz = [r.frequency_mhz for r in readings if r.frequency_mhz is not None]
    events = [r.throttle_events for r in readings if r.throttle_events is not None]
    return Telemetry(
        info=info,
        conditions=Conditions(
            cores=len(phone.cores) or 1,
            frequency_change=max(mhz) / min(mhz) - 1 if mhz else None,
            throttle_events=sum(events) if events else None,
            too_hot_c=max(celsius) if celsius and max(celsius) > limit_c else None,
            interrupted=interrupted,
        ),
        readings=readings,
        notes=notes if celsius else (*notes, _NO_TEMPERATURE),
    )


def inspection_of(
    name: str, partial: PartialMeasurement, denormal_share: float | None
) -> Inspection:
    """Return the inspection of one candidate: times of the calibration, peak memory of all."""
    first = partial.calibration.candidates[name]
    later = [block.candidates[name] for block in partial.blocks]
    memory = [one.peak_memory_bytes for one in (first, *later) if one.peak_memory_bytes is not None]
    return Inspection(
        runtime_version=partial.calibration.runtime_version,
        load_ms=first.load_ms,
        first_ms=first.first_ms,
        peak_memory_bytes=max(memory) if memory else None,
        placement=first.placement,
        options=first.options,
        denormal_share=denormal_share,
    )


def request_of(candidate: Candidate, artifact: RemoteFile, image: RemoteFile) -> RequestCandidate:
    """Return one candidate of a request, whose artifact and input are on the phone."""
    return RequestCandidate.model_validate(
        {
            "name": candidate.name,
            "artifact": _file(artifact),
            "format": candidate.artifact.format,
            "input": _file(image),
            "shape": candidate.image.shape,
            "dtype": candidate.artifact.image.dtype,
        }
    )


def _file(file: RemoteFile) -> RequestFile:
    return RequestFile(name=Path(file.remote).name, sha256=file.sha256, bytes=file.bytes)
