"""A run of `lolvit bench`: models are prepared, compared on every device, and results written as
they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lolvit.errors import DeviceError, GateFailedError, UserError
from lolvit.manifest import Precision
from lolvit.variants import VARIANTS
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.backends.backend import Device, Job, Listener, Models
from lolvit_benchmarks.backends.registry import DeviceChoice, DeviceOptions
from lolvit_benchmarks.harness.candidates import COMPARISON, Configuration
from lolvit_benchmarks.harness.prepare import (
    ExportRequest,
    Photo,
    check_models,
    open_photo,
    prepare,
)
from lolvit_benchmarks.harness.schedule import PROFILES, Profile
from lolvit_benchmarks.harness.system_monitor import read_environment
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import Best, Environment, Estimate
from lolvit_benchmarks.results.files import ensure_writable, save, save_latest
from lolvit_runtimes.table import RUNTIMES, require_runtime

Size = tuple[int, int] | None


@dataclass(frozen=True)
class Request:
    """What to measure: `models` are names or folders, the first one against each other one. A size
    of None is each model's own."""

    models: tuple[str, ...]
    devices: tuple[DeviceChoice, ...]
    precisions: tuple[Precision | Best, ...]
    threads: tuple[int, ...]
    sizes: tuple[Size, ...]
    profile: str
    cache: Path
    weights: Path | None = None
    task: str | None = None
    photo: Path | None = None
    fresh: bool = False
    sustain_s: float | None = None
    profile_ops: bool = False
    device_options: DeviceOptions = field(default_factory=DeviceOptions)

    def configurations(self, device: DeviceChoice) -> tuple[Configuration, ...]:
        """Return the configurations that a device measures at one size, in order."""
        return tuple(
            Configuration(runtime, precision, threads)
            for runtime in device.runtimes
            for precision in self.precisions
            for threads in self.threads
        )

    def job(self, device: DeviceChoice, groups: Sequence[Models], photo: Photo) -> Job:
        """Return what a device is to compare."""
        return Job(
            groups=tuple(groups),
            configurations=self.configurations(device),
            profile=PROFILES[self.profile],
            photo=photo,
            sustain_s=self.sustain_s,
            profile_ops=self.profile_ops,
        )


@dataclass
class Findings:
    """What a run has found so far: after each addition it is written to `path`, marked as
    interrupted."""

    path: Path
    profile: Profile
    photo: Photo
    environment: Environment
    results: list[result.Result] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    failures: list[result.Failure] = field(default_factory=list)

    def keep(
        self,
        *,
        results: Sequence[result.Result] = (),
        estimates: Sequence[Estimate] = (),
        failures: Sequence[result.Failure] = (),
    ) -> None:
        """As `Keeper.keep`."""
        self.results += results
        self.estimates += estimates
        self.failures += failures
        if self.found:
            save(self.document("interrupted"), self.path)

    @property
    def found(self) -> bool:
        """Whether there is a figure to keep."""
        return bool(self.results or self.estimates)

    def document(self, state: Literal["complete", "interrupted"]) -> result.Document:
        """Return the findings so far."""
        return result.Document(
            state=state,
            profile=result.Plan(
                name=self.profile.name,
                seconds=self.profile.seconds,
                cool_down_s=self.profile.cool_down_s,
            ),
            quality_rule=quality.rule(),
            photo=result.Photo(name=self.photo.name, sha256=self.photo.sha256),
            environment=self.environment,
            results=tuple(self.results),
            estimates=tuple(self.estimates),
            failures=tuple(self.failures),
        )


def run(request: Request, path: Path, listener: Listener) -> result.Document:
    """Measure all that is requested; the failure of a runtime or a device is in the document, and
    the others are measured.

    Raises:
        UserError: a model, a runtime's package, the photo or an artifact is missing or wrong.
        KeyboardInterrupt: interrupted; what was measured is in `path` and in `result.json` by it.
    """
    for chosen in request.devices:
        for runtime in chosen.runtimes:
            if runtime in RUNTIMES:
                require_runtime(runtime)
    check_models(request.models)
    devices = [(chosen, chosen.open(request.device_options)) for chosen in request.devices]
    photo = open_photo(request.photo)
    failures: list[result.Failure] = []
    # All models before the first measurement.
    groups = [_group(request, size, failures, listener) for size in request.sizes]
    ensure_writable(path.parent)
    findings = Findings(
        path, PROFILES[request.profile], photo, read_environment(), failures=failures
    )
    try:
        for chosen, device in devices:
            _compare(device, request.job(chosen, groups, photo), findings, listener)
    except KeyboardInterrupt:
        if findings.found:
            save_latest(findings.document("interrupted"), path)
        raise
    document = findings.document("complete")
    save_latest(document, path)
    return document


def _compare(device: Device, job: Job, findings: Findings, listener: Listener) -> None:
    try:
        device.compare(job, findings, listener)
    except DeviceError as error:
        findings.keep(failures=[result.Failure(device=device.id, what=error.line())])


def _group(
    request: Request, size: Size, failures: list[result.Failure], listener: Listener
) -> Models:
    """Return the models at one size. Of several baselines, one whose export fails is a failure of
    the run, and left out."""
    formats = tuple(dict.fromkeys(f for device in request.devices for f in device.formats))
    found = []
    for number, model in enumerate(request.models):
        weights = request.weights if number == 0 else None
        precisions = _wanted(request.precisions, trained=weights is not None)
        wanted = ExportRequest(model, formats, *precisions, size, weights, request.task)
        try:
            made = prepare(wanted, cache=request.cache, fresh=request.fresh, say=listener.say)
        except (DeviceError, GateFailedError) as error:
            if number == 0 or len(request.models) == COMPARISON:
                raise
            failures.append(result.Failure(model=model, what=error.line()))
        else:
            found.append(made)
    if len(found) < COMPARISON:
        raise DeviceError(f"no model is left to compare with; {failures[-1].what}")
    names = distinct([prepared.manifest.model for prepared in found])
    return list(zip(names, found, strict=True))


def _wanted(precisions: Sequence[str], *, trained: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the precisions that are required, and those that are measured where a format has
    them: not int8 with random weights, which quantization ruins."""
    needed = tuple(precision for precision in precisions if precision != result.BEST)
    if result.BEST not in precisions:
        return needed, ()
    return needed, ("fp32", "fp16", "int8") if trained else ("fp32", "fp16")


def parse_precisions(text: str) -> tuple[str, ...]:
    """Return precisions from text such as `fp32,fp16` or `fp32,best`, repeats dropped. Which ones
    there are is known to the export's targets alone, or by the artifacts of a folder.

    Raises:
        UserError: there is none.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError("no precision given", remedy="write fp32, or fp32,int8, or best")
    return tuple(dict.fromkeys(names))


def baseline_of(model: str) -> str:
    """Return the MobileViT that a variant is compared with: the one with as many parameters.

    Raises:
        UserError: it is no variant, or no model.
    """
    variant = VARIANTS.get(model)
    if variant is None:
        check_models((model,))
        raise UserError(f"no model to compare '{model}' with", remedy="add --against mobilevit_xs")
    return variant.baseline


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with a number after those that occur for a second time and on."""
    counts: dict[str, int] = {}
    made = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        made.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return made
