"""Cells before the page has them, all looked at on this machine first: nothing else may run here
while a browser on this machine measures. And the results of a cell that the page has measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit_benchmarks.analysis import quality as verdict
from lolvit_benchmarks.backends.backend import Job, Models
from lolvit_benchmarks.backends.browser.exchange import PageCell
from lolvit_benchmarks.backends.browser.gates import FLOORS
from lolvit_benchmarks.backends.browser.protocol import About, LoadedSide
from lolvit_benchmarks.backends.browser.site import RUNTIMES
from lolvit_benchmarks.harness.candidates import Entrant, Setting, entrants, failure_of
from lolvit_benchmarks.harness.inputs import Photo
from lolvit_benchmarks.harness.inspection import Preflight
from lolvit_benchmarks.harness.outcome import Outcome
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import DeviceInfo
from lolvit_runtimes.isolated import IsolatedSession
from lolvit_runtimes.session import FloatArray

Say = Callable[[str], None]

DEVICE = "browser"
# What gives the logits that the page's are compared with.
HOST_RUNTIMES = {"onnx": "ort", "tflite": "litert"}
COARSE_CLOCK = 0.05  # of an inference


class Preparation:
    """Makes cells; an artifact that several of them use is looked at once."""

    def __init__(self, photo: Photo, say: Say) -> None:
        self._photo, self._say = photo, say
        self._entrants: dict[tuple[Path, str, Setting], list[Entrant]] = {}
        self._logits: dict[Path, FloatArray] = {}

    def cell(self, models: Models, setting: Setting) -> PageCell:
        """Return one cell.

        Raises:
            UserError: an artifact is missing or changed, or its activations are denormal.
            DeviceError: this machine's runtime refused one, so that nothing tells its logits.
        """
        found = [one for name, prepared in models for one in self._of(name, prepared, setting)]
        return PageCell(setting, found, {one.name: self._reference(one) for one in found})

    def _of(self, name: str, prepared: Prepared, setting: Setting) -> list[Entrant]:
        host = Setting(HOST_RUNTIMES[RUNTIMES[setting.runtime]], setting.precision, 1)
        key = (prepared.folder, name, host)
        if key not in self._entrants:
            self._say(f"looking at {name}, {host.precision}, in {host.runtime}")
            self._entrants[key] = entrants(name, prepared, host, self._photo)
        return self._entrants[key]

    def _reference(self, one: Entrant) -> FloatArray:
        path = one.prepared.folder / one.artifact.path
        if path not in self._logits:
            session = IsolatedSession(HOST_RUNTIMES[one.artifact.format], path, one.artifact)
            try:
                outputs = session.run({one.artifact.image.name: one.image})
                self._logits[path] = outputs[one.artifact.outputs[0].name].astype("float32")
            finally:
                session.close()
        return self._logits[path]


def prepared_cells(job: Job, say: Say) -> tuple[list[PageCell], list[result.Failure]]:
    """Return every cell that can be measured, and a failure for each that can't.

    Raises:
        UserError: an artifact is missing or changed, or its activations are denormal.
    """
    preparation = Preparation(job.photo, say)
    cells, failures = [], []
    for models in job.groups:
        for setting in page_settings(job.settings):
            try:
                cells.append(preparation.cell(models, setting))
            except DeviceError as error:
                failures.append(failure_of(setting, DEVICE, error))
    return cells, failures


def page_settings(settings: Iterable[Setting]) -> list[Setting]:
    """Return the settings, those on a GPU once: threads mean nothing there."""
    made = (replace(s, threads=1) if s.runtime.endswith("webgpu") else s for s in settings)
    return list(dict.fromkeys(made))


def results_of(cell: PageCell, about: About | None) -> list[result.Result]:
    """Return what the page has measured of a cell: nothing where no block was finished."""
    if about is None or cell.ready is None:
        return []
    conditions = verdict.Conditions(
        cores=about.cores,
        probe_change=_change([r.probe_us for r in cell.readings if r.probe_us is not None]),
        interrupted=not cell.recording.complete,
    )
    sides = zip(cell.entrants, cell.ready.sides, strict=True)
    return Outcome(
        cell.setting,
        [_entrant(one, side, cell.ready.runtime_version) for one, side in sides],
        cell.recording,
        conditions,
        readings=cell.readings,
        device=DEVICE,
        device_info=device_info(about, cell.setting),
        notes=_notes(cell, about),
    ).results()


def _change(values: Sequence[float]) -> float | None:
    return max(values) / min(values) - 1 if values else None


def _entrant(one: Entrant, side: LoadedSide, version: str) -> Entrant:
    """Return the entrant with what the browser saw of it in the place of what this machine did."""
    seen = Preflight(
        runtime_version=version,
        load_ms=side.load_ms,
        first_ms=side.first_ms,
        peak_memory_bytes=None,
        placement=side.placement,
        options=side.options,
        denormal_share=one.seen.denormal_share,
    )
    return replace(one, seen=seen, preprocess_ms=side.preprocess_ms)


def device_info(about: About, setting: Setting) -> DeviceInfo:
    """Return the browser as a device."""
    gpu = setting.runtime.endswith("webgpu")
    isolated = {"cross_origin_isolated": "yes" if about.isolated else "no"}
    return DeviceInfo(
        id=DEVICE,
        kind="browser",
        name=about.name,
        software=gpu and bool(about.software_gpu),
        details={**about.details, **isolated},
    )


def _notes(cell: PageCell, about: About) -> tuple[str, ...]:
    setting = cell.setting
    host = HOST_RUNTIMES[RUNTIMES[setting.runtime]]
    agreed = ", ".join(
        f"{one.name} {cell.agreements[one.name]:.0f} dB "
        f"(floor {FLOORS[setting.runtime][one.artifact.precision]:g})"
        for one in cell.entrants
    )
    found = [
        f"{setting.runtime}: logits on the photo agree with {host}'s on this machine: {agreed}."
    ]
    if setting.runtime.endswith("webgpu") and about.software_gpu:
        found.append(
            f"{setting.runtime}: WebGPU is played by the processor here (a software GPU): these "
            "times say nothing of a GPU's."
        )
    return (*found, *_clock_note(cell))


def _clock_note(cell: PageCell) -> list[str]:
    assert cell.ready is not None
    fastest = min(side.run_ms for side in cell.ready.sides)
    share = cell.ready.clock_us / 1000 / fastest
    if share <= COARSE_CLOCK:
        return []
    return [
        f"{cell.setting.runtime}: the browser's clock ticks every {cell.ready.clock_us:.0f} µs, "
        f"{share:.0%} of an inference: its spread is at least that."
    ]
