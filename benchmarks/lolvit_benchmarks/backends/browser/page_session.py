"""The browser as a device: cases are prepared, the page is served and followed, results are kept.

All cases are prepared before the page gets the first: while a browser on this machine measures,
nothing else may run here.
"""

from __future__ import annotations

import queue
import subprocess
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from lolvit.errors import DeviceError, UserError
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.backends.backend import Job, Keeper, Listener, Models
from lolvit_benchmarks.backends.browser import chromium
from lolvit_benchmarks.backends.browser import exchange as protocol
from lolvit_benchmarks.backends.browser.agreement import References, snr_threshold_db
from lolvit_benchmarks.backends.browser.chromium import invite, wants_headless
from lolvit_benchmarks.backends.browser.exchange import (
    SILENCE_LIMIT_S,
    About,
    Exchange,
    LoadedCandidate,
    PageCase,
    PageEvent,
)
from lolvit_benchmarks.backends.browser.server import Address, Site, lan_address, serving
from lolvit_benchmarks.backends.browser.site import (
    RUNTIMES,
    ServedModels,
    job_files,
    page_files,
    runtime_files,
)
from lolvit_benchmarks.backends.registry import DeviceOptions
from lolvit_benchmarks.harness.candidates import (
    Configuration,
    InspectedCandidate,
    Outcome,
    failure_of,
    inspect_candidates,
)
from lolvit_benchmarks.harness.inspection import Inspection
from lolvit_benchmarks.harness.prepare import Photo, Prepared
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import DeviceInfo
from lolvit_runtimes.worker.isolated import IsolatedSession

Say = Callable[[str], None]

DEVICE = "browser"
# Runtimes of this machine for the reference outputs, by format.
HOST_RUNTIMES = {"onnx": "ort", "tflite": "litert"}
COARSE_CLOCK_SHARE = 0.05  # resolution of the clock over the time of an inference
_POLL_S = 0.5
_JOIN_TIMEOUT_S = 120.0  # of a Chromium started here: WASM of 26 MB compiles on a busy machine


class Preparation:
    """Prepares cases; an artifact that several of them use is inspected once."""

    def __init__(self, photo: Photo, say: Say) -> None:
        self._photo, self._say = photo, say
        self._candidates: dict[tuple[Path, str, Configuration], list[InspectedCandidate]] = {}
        self._outputs: dict[Path, References] = {}

    def case(self, models: Models, configuration: Configuration) -> PageCase:
        """Return one case.

        Raises:
            UserError: an artifact is missing or changed, or its activations are denormal.
            DeviceError: this machine's runtime failed on one, so that it has no reference.
        """
        found = [
            one for name, prepared in models for one in self._of(name, prepared, configuration)
        ]
        return PageCase(configuration, found, {one.name: self._reference(one) for one in found})

    def _of(
        self, name: str, prepared: Prepared, configuration: Configuration
    ) -> list[InspectedCandidate]:
        host = Configuration(
            HOST_RUNTIMES[RUNTIMES[configuration.runtime]], configuration.precision, 1
        )
        key = (prepared.folder, name, host)
        if key not in self._candidates:
            self._say(f"inspecting {name}, {host.precision}, in {host.runtime}")
            self._candidates[key] = inspect_candidates(name, prepared, host, self._photo)
        return self._candidates[key]

    def _reference(self, one: InspectedCandidate) -> References:
        path = one.prepared.folder / one.artifact.path
        if path not in self._outputs:
            session = IsolatedSession(HOST_RUNTIMES[one.artifact.format], path, one.artifact)
            with closing(session):
                self._outputs[path] = session.run({one.artifact.image.name: one.image})
        return self._outputs[path]


def prepare_cases(job: Job, say: Say) -> tuple[list[PageCase], list[result.Failure]]:
    """Prepare all cases; return those that can be measured, and failures of the others.

    Raises:
        UserError: an artifact is missing or changed, or its activations are denormal.
    """
    preparation = Preparation(job.photo, say)
    cases, failures = [], []
    for models in job.groups:
        for configuration in page_configurations(job.configurations):
            try:
                cases.append(preparation.case(models, configuration))
            except DeviceError as error:
                failures.append(failure_of(configuration, DEVICE, error))
    return cases, failures


def page_configurations(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Return the configurations, those of WebGPU once: threads don't apply there."""
    effective = (
        replace(s, threads=1) if s.runtime.endswith("webgpu") else s for s in configurations
    )
    return list(dict.fromkeys(effective))


def results_of(case: PageCase, about: About | None) -> list[result.Result]:
    """Return the results of a case; none without a finished block, or while the fastest precisions
    are being found."""
    if about is None or case.ready is None or case.selecting:
        return []
    conditions = quality.Conditions(
        cores=about.cores,
        probe_change=_change([r.probe_us for r in case.readings if r.probe_us is not None]),
        interrupted=not case.recording.complete,
    )
    loaded_candidates = zip(case.candidates, case.ready.candidates, strict=True)
    return Outcome(
        case.configuration,
        [_inspected(one, loaded, case.ready.runtime_version) for one, loaded in loaded_candidates],
        case.recording,
        conditions,
        readings=case.readings,
        device=DEVICE,
        device_info=device_info(about, case.configuration),
        notes=_notes(case, about),
    ).results()


def _change(values: Sequence[float]) -> float | None:
    return max(values) / min(values) - 1 if values else None


def _inspected(
    one: InspectedCandidate, loaded: LoadedCandidate, version: str
) -> InspectedCandidate:
    """Return the candidate with the inspection by the browser in place of this machine's."""
    inspection = Inspection(
        runtime_version=version,
        load_ms=loaded.load_ms,
        first_ms=loaded.first_ms,
        peak_memory_bytes=None,
        placement=loaded.placement,
        options=loaded.options,
        denormal_share=one.inspection.denormal_share,
    )
    return replace(one, inspection=inspection, preprocess_ms=loaded.preprocess_ms)


def device_info(about: About, configuration: Configuration) -> DeviceInfo:
    """Return the description of the browser in a result."""
    gpu = configuration.runtime.endswith("webgpu")
    isolated = {"cross_origin_isolated": "yes" if about.isolated else "no"}
    return DeviceInfo(
        id=DEVICE,
        kind="browser",
        name=about.name,
        software=gpu and bool(about.software_gpu),
        details={**about.details, **isolated},
    )


def _notes(case: PageCase, about: About) -> tuple[str, ...]:
    configuration = case.configuration
    host = HOST_RUNTIMES[RUNTIMES[configuration.runtime]]
    snr = ", ".join(
        f"{one.name} {case.snr_db[one.name]:.0f} dB "
        f"(threshold {snr_threshold_db(configuration.runtime, one.artifact):.3g})"
        for one in case.candidates
        if one.name in case.snr_db
    )
    notes = []
    if snr:
        notes.append(
            f"{configuration.runtime}: SNR of the outputs on the photo against {host} on this"
            f" machine: {snr}."
        )
    if configuration.runtime.endswith("webgpu") and about.software_gpu:
        notes.append(
            f"{configuration.runtime}: WebGPU runs on the CPU here (a software GPU): these times "
            "are not those of a GPU."
        )
    return (*notes, *_clock_note(case))


def _clock_note(case: PageCase) -> list[str]:
    assert case.ready is not None
    fastest = min(loaded.run_ms for loaded in case.ready.candidates)
    share = case.ready.clock_us / 1000 / fastest
    if share <= COARSE_CLOCK_SHARE:
        return []
    return [
        f"{case.configuration.runtime}: the resolution of the browser's clock is "
        f"{case.ready.clock_us:.0f} µs, {share:.0%} of an inference: the spread is at least that."
    ]


class Browser:
    """Any browser that opens the page."""

    id = "browser"

    def __init__(self, options: DeviceOptions) -> None:
        self._options = options

    def compare(self, job: Job, keeper: Keeper, listener: Listener) -> None:
        """As `Device.compare`; the page measures all cases in one visit."""
        _require_supported(job)
        cases, failures = prepare_cases(job, listener.say)
        keeper.keep(failures=failures)
        if not cases:
            return
        models = ServedModels((name, prepared) for group in job.groups for name, prepared in group)
        files = page_files() | runtime_files() | models.files()
        files |= job_files(models, cases, job.profile, job.photo.image)
        exchange = Exchange(cases, job.profile)
        with (
            serving(Site(files, exchange.answer), _address(self._options)) as url,
            self._opened(url, listener) as process,
        ):
            _follow(exchange, process, keeper, listener)

    @contextmanager
    def _opened(self, url: str, listener: Listener) -> Iterator[subprocess.Popen[bytes] | None]:
        headless = wants_headless(self._options)
        if headless:
            listener.say("measuring in a headless Chromium")
        else:
            invite(url, listener.say, code=self._options.lan)
            if self._options.open_page:
                webbrowser.open(url)
        with chromium.opened(f"{url}?go") if headless else nullcontext() as process:
            yield process


def _address(options: DeviceOptions) -> Address:
    host = lan_address() if options.lan else "127.0.0.1"
    return Address(host, options.port, options.certificate)


def _require_supported(job: Job) -> None:
    for asked, option in ((job.sustain_s, "--sustain"), (job.profile_ops, "--profile-ops")):
        if asked:
            raise UserError(
                f"{option} is not available in a browser", remedy="remove it, or use --device host"
            )


def _follow(
    exchange: Exchange,
    process: subprocess.Popen[bytes] | None,
    keeper: Keeper,
    listener: Listener,
) -> None:
    """Keep the page's results until all cases are measured.

    Raises:
        DeviceError: the browser ended or is silent; finished blocks are kept.
        KeyboardInterrupt: likewise.
    """
    waited = 0.0
    try:
        while not (exchange.done and exchange.events.empty()):
            try:
                _handle(exchange, exchange.events.get(timeout=_POLL_S), keeper, listener)
            except queue.Empty:
                waited += _POLL_S
                _check_alive(exchange, process, waited)
    except BaseException:
        exchange.close()
        _keep_rest(exchange, keeper, listener)
        raise
    finally:
        exchange.close()


def _handle(exchange: Exchange, event: PageEvent, keeper: Keeper, listener: Listener) -> None:
    if isinstance(event, protocol.Joined):
        again = "again, in another page: " if event.again else ""
        listener.say(f"measuring {again}{event.about.name}, {event.about.cores} cores")
    elif isinstance(event, protocol.Started):
        configuration = exchange.cases[event.case].configuration
        listener.say(
            f"{configuration.runtime} {configuration.precision}, threads: {configuration.threads}"
        )
    elif isinstance(event, protocol.Progressed):
        listener.progress(event.done, event.planned)
    elif isinstance(event, protocol.Left):
        listener.say("the page was closed; open it again to resume, or press Ctrl-C")
    elif isinstance(event, protocol.Ended):
        _keep(exchange, event.case, keeper)
        if event.reason is not None:
            configuration = exchange.cases[event.case].configuration
            listener.say(f"{configuration.runtime} gave no result: {event.reason}")
            keeper.keep(failures=[failure_of(configuration, DEVICE, DeviceError(event.reason))])


def _keep_rest(exchange: Exchange, keeper: Keeper, listener: Listener) -> None:
    """Keep what arrived since the last poll, and the finished blocks of the current case."""
    while not exchange.events.empty():
        _handle(exchange, exchange.events.get(), keeper, listener)
    _keep(exchange, exchange.position, keeper)


def _keep(exchange: Exchange, number: int, keeper: Keeper) -> None:
    if number < len(exchange.cases):
        keeper.keep(results=results_of(exchange.cases[number], exchange.about))


def _check_alive(
    exchange: Exchange, process: subprocess.Popen[bytes] | None, waited: float
) -> None:
    if process is not None and process.poll() is not None:
        raise DeviceError(f"Chromium ended with exit code {process.returncode}")
    if process is not None and exchange.about is None and waited > _JOIN_TIMEOUT_S:
        raise DeviceError(f"Chromium did not open the page within {_JOIN_TIMEOUT_S:.0f} s")
    if exchange.silent_s() > SILENCE_LIMIT_S:
        raise DeviceError(f"no message from the page for {SILENCE_LIMIT_S:.0f} s")
