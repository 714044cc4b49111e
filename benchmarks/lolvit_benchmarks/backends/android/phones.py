"""Phones measured at the same time, each in a thread of its own: they wait for adb alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lolvit.errors import DeviceError, LolvitError, UserError
from lolvit_benchmarks.backends import backend as measured
from lolvit_benchmarks.backends.android.client import Adb, StoppedError, find_adb
from lolvit_benchmarks.backends.android.contract import RUNTIMES
from lolvit_benchmarks.backends.android.measuring import Manner, Phone
from lolvit_benchmarks.backends.android.program import open_program
from lolvit_benchmarks.backends.android.quoting import checked_serial
from lolvit_benchmarks.backends.android.reference import References
from lolvit_benchmarks.backends.android.thermal import Cooling
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener
from lolvit_benchmarks.backends.registry import DeviceOptions
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import Estimate

_LOOK_S = 0.2  # how often the main thread, which gets the signals, looks at the others


def open_phones(serials: Sequence[str], options: DeviceOptions) -> Phones:
    """Return phones, none of which was spoken to yet.

    Raises:
        UserError: there is no adb, a serial can't be one, or the program can't be run on phones.
    """
    program = None
    if options.binary is not None:
        program = open_program(options.binary, options.binary_args, options.binary_output)
    elif options.binary_args is not None or options.binary_output is not None:
        raise UserError("--binary-args and --binary-output are of no use without --binary")
    manner = Manner(
        Cooling(options.max_temperature, options.cool_down_limit), options.folder, program
    )
    checked = [checked_serial(serial.strip()) for serial in dict.fromkeys(serials)]
    return Phones(checked, find_adb(), manner)


class Phones:
    """Several phones as one device."""

    def __init__(self, serials: Sequence[str], program: str, manner: Manner) -> None:
        self.id = ",".join(f"adb:{serial}" for serial in serials)
        self._serials, self._program, self._manner = serials, program, manner

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`: all phones at once. One that fails doesn't end the others.

        Raises:
            UserError: the one phone is not ready for the job; of several it is a failure.
        """
        if job.sustain_s is not None or job.profile_ops:
            raise UserError(
                "--sustain and --profile-ops are not measured on phones",
                remedy="leave them out, or measure on --device host",
            )
        stop, shared = threading.Event(), _Shared(keeper, listener, alone=len(self._serials) == 1)
        references = References()
        workers = [
            _Worker(Adb(serial, self._program, stop), self._manner, references, job, shared)
            for serial in self._serials
        ]
        _run_all(workers, stop)
        for worker in workers:
            if worker.error is not None:
                raise worker.error


def _run_all(workers: Sequence[_Worker], stop: threading.Event) -> None:
    """Run to the end; on Ctrl-C ask all to stop, and wait until the phones are put back."""
    for worker in workers:
        worker.start()
    try:
        _wait(workers)
    except KeyboardInterrupt:
        stop.set()
        _wait(workers)
        raise


def _wait(workers: Sequence[_Worker]) -> None:
    """Wait for their ends. A join that Ctrl-C interrupts would take its thread for ended, in
    Python 3.11, though it still runs."""
    for worker in workers:
        while not worker.ended.wait(_LOOK_S):
            pass


class _Worker(threading.Thread):
    """One phone's measurements; `error` is what the run has to end with."""

    def __init__(
        self, adb: Adb, manner: Manner, references: References, job: Job, shared: _Shared
    ) -> None:
        super().__init__(name=adb.serial)
        self._job, self._shared = job, shared
        wanted = frozenset(setting.runtime for setting in job.configurations)
        self._phone = Phone(adb, _with_runtimes(manner, wanted), references)
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Measure; a phone that fails is handed on as a failure."""
        try:
            self._measure()
        finally:
            self.ended.set()

    def _measure(self) -> None:
        kept = _Failures(self._shared)
        try:
            measured.compare(self._phone, RUNTIMES, self._job, kept, self._shared)
            if not kept.failed:
                self._phone.forget()
        except StoppedError:
            return
        except DeviceError as error:
            self._fail(error)
        except UserError as error:
            if self._shared.alone:
                self.error = error
            else:  # the results of the others are not to be lost
                self._fail(error)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self.error = error

    def _fail(self, error: LolvitError) -> None:
        what = "; ".join(filter(None, (error.what, error.remedy)))
        self._shared.keep(failures=[result.Failure(device=self._phone.id, what=what)])


def _with_runtimes(manner: Manner, runtimes: frozenset[str]) -> Manner:
    return Manner(manner.cooling, manner.folder, manner.program, runtimes, manner.reconnect_s)


class _Shared:
    """Keeper and listener of several threads. Rounds of one phone alone are shown as a bar."""

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


class _Failures:
    """A keeper that knows whether one phone failed."""

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
