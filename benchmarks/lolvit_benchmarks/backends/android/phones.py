"""Several phones measured in parallel, one thread each: the threads only wait for adb."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit_benchmarks.backends import backend
from lolvit_benchmarks.backends.android.client import Adb, StoppedError, find_adb, validate_serial
from lolvit_benchmarks.backends.android.contract import RUNTIMES
from lolvit_benchmarks.backends.android.measuring import Phone, PhoneOptions
from lolvit_benchmarks.backends.android.phone import ThermalLimit
from lolvit_benchmarks.backends.android.program import open_program
from lolvit_benchmarks.backends.android.reference import References
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener
from lolvit_benchmarks.backends.registry import DeviceOptions
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import Estimate

_POLL_S = 0.2  # interval at which the main thread, which receives signals, polls the others


def open_phones(serials: Sequence[str], asked: DeviceOptions) -> Phones:
    """Return phones; none is contacted yet.

    Raises:
        UserError: adb is missing, a serial is invalid, or the program can't run on phones.
    """
    program = None
    if asked.binary is not None:
        program = open_program(asked.binary, asked.binary_args, asked.binary_output)
    elif asked.binary_args is not None or asked.binary_output is not None:
        raise UserError("--binary-args and --binary-output need --binary")
    options = PhoneOptions(
        ThermalLimit(asked.max_temperature, asked.cool_down_limit), asked.folder, program
    )
    valid = [validate_serial(serial.strip()) for serial in dict.fromkeys(serials)]
    return Phones(valid, find_adb(), options)


class Phones:
    """Several phones as one device."""

    def __init__(self, serials: Sequence[str], program: str, options: PhoneOptions) -> None:
        self.id = ",".join(f"adb:{serial}" for serial in serials)
        self._serials, self._program, self._options = serials, program, options

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`, all phones in parallel. A failure of one doesn't stop the others.

        Raises:
            UserError: the only phone is not ready for the job; one of several is a failure.
        """
        if job.sustain_s is not None or job.profile_ops:
            raise UserError(
                "--sustain and --profile-ops are not available on phones",
                remedy="remove them, or use --device host",
            )
        stop, output = (
            threading.Event(),
            _LockedOutput(keeper, listener, alone=len(self._serials) == 1),
        )
        references = References()
        workers = [
            _Worker(Adb(serial, self._program, stop), self._options, references, job, output)
            for serial in self._serials
        ]
        _run_all(workers, stop)
        for worker in workers:
            if worker.error is not None:
                raise worker.error


def _run_all(workers: Sequence[_Worker], stop: threading.Event) -> None:
    """Run to the end; on Ctrl-C stop all, and wait until the phones are restored."""
    for worker in workers:
        worker.start()
    try:
        _wait(workers)
    except KeyboardInterrupt:
        stop.set()
        _wait(workers)
        raise


def _wait(workers: Sequence[_Worker]) -> None:
    """Wait until all have ended. Not by join: in Python 3.11 one that Ctrl-C interrupts marks its
    thread as ended, though it still runs."""
    for worker in workers:
        while not worker.ended.wait(_POLL_S):
            pass


class _Worker(threading.Thread):
    """The measurements of one phone; `error` is raised at the end of the run."""

    def __init__(
        self,
        adb: Adb,
        options: PhoneOptions,
        references: References,
        job: Job,
        output: _LockedOutput,
    ) -> None:
        super().__init__(name=adb.serial)
        self._job, self._output = job, output
        runtimes = frozenset(configuration.runtime for configuration in job.configurations)
        self._phone = Phone(adb, _with_runtimes(options, runtimes), references)
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Measure; an error of the phone becomes a failure in the results."""
        try:
            self._measure()
        finally:
            self.ended.set()

    def _measure(self) -> None:
        tracker = _FailureTracker(self._output)
        try:
            backend.compare(self._phone, RUNTIMES, self._job, tracker, self._output)
            if not tracker.failed:
                self._phone.remove_partial_files()
        except StoppedError:
            return
        except DeviceError as error:
            self._fail(error)
        except UserError as error:
            if self._output.alone:
                self.error = error
            else:  # keep the results of the others
                self._fail(error)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self.error = error

    def _fail(self, error: LolvitError) -> None:
        what = "; ".join(filter(None, (error.what, error.remedy)))
        self._output.keep(failures=[result.Failure(device=self._phone.id, what=what)])


def _with_runtimes(options: PhoneOptions, runtimes: frozenset[str]) -> PhoneOptions:
    return PhoneOptions(
        options.thermal_limit, options.folder, options.program, runtimes, options.reconnect_s
    )


class _LockedOutput:
    """Keeper and listener shared by threads. Progress is shown for a single phone only."""

    def __init__(self, keeper: Keeper, listener: Listener, *, alone: bool) -> None:
        self._keeper, self._listener, self.alone = keeper, listener, alone
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        with self._lock:
            self._listener.say(line)

    def progress(self, done: int, planned: int) -> None:
        if self.alone:
            with self._lock:
                self._listener.progress(done, planned)

    def keep(
        self,
        *,
        results: Sequence[result.Result] = (),
        estimates: Sequence[Estimate] = (),
        failures: Sequence[result.Failure] = (),
    ) -> None:
        with self._lock:
            self._keeper.keep(results=results, estimates=estimates, failures=failures)


class _FailureTracker:
    """A keeper that records whether one phone had a failure."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper, self.failed = keeper, False

    def keep(
        self,
        *,
        results: Sequence[result.Result] = (),
        estimates: Sequence[Estimate] = (),
        failures: Sequence[result.Failure] = (),
    ) -> None:
        self.failed = self.failed or bool(failures)
        self._keeper.keep(results=results, estimates=estimates, failures=failures)
