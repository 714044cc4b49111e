"""A run of `lolvit bench`: models prepared, every cell measured, results kept as they come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from lolvit.artifact import Precision
from lolvit.errors import DeviceError, GateFailedError, LolvitError
from lolvit_benchmarks import result
from lolvit_benchmarks.cell import COMPARISON, Cell
from lolvit_benchmarks.entrants import Setting
from lolvit_benchmarks.environment import Environment, read_environment
from lolvit_benchmarks.inputs import Photo, open_photo
from lolvit_benchmarks.prepare import Prepared, Wanted, prepare
from lolvit_benchmarks.result import Best
from lolvit_benchmarks.result_files import ensure_writable, save, save_latest
from lolvit_benchmarks.schedule import PROFILES, Profile
from lolvit_benchmarks.sysfs import Machine
from lolvit_benchmarks.verdict import rule
from lolvit_runtimes.table import RUNTIMES, require_runtime

Size = tuple[int, int] | None
Models = list[tuple[str, Prepared]]


@dataclass(frozen=True)
class Request:
    """What to measure: `models` are names or folders, the first one against each other one. A size
    of None is each model's own."""

    models: tuple[str, ...]
    runtimes: tuple[str, ...]
    precisions: tuple[Precision | Best, ...]
    threads: tuple[int, ...]
    sizes: tuple[Size, ...]
    profile: str
    cache: Path
    weights: Path | None = None
    photo: Path | None = None
    fresh: bool = False
    sustain_s: float | None = None
    profile_ops: bool = False

    def settings(self) -> list[Setting]:
        """Return every cell to be measured at one size, in order."""
        return [
            Setting(runtime, precision, threads)
            for runtime in self.runtimes
            for precision in self.precisions
            for threads in self.threads
        ]


class Listener(Protocol):
    """Who is told of a run as it goes."""

    def say(self, line: str) -> None:
        """Hear what is being done now."""

    def progress(self, done: int, planned: int) -> None:
        """Hear how many rounds of the present cell are done."""


@dataclass
class Run:
    """The state of a run: what it has found so far."""

    profile: Profile
    photo: Photo
    environment: Environment
    sustain_s: float | None = None
    results: list[result.Result] = field(default_factory=list)
    failures: list[result.Failure] = field(default_factory=list)
    profile_ops: bool = False

    def document(self, state: Literal["complete", "interrupted"]) -> result.Document:
        """Return the results so far."""
        return result.Document(
            state=state,
            profile=result.Plan(
                name=self.profile.name,
                seconds=self.profile.seconds,
                cool_down_s=self.profile.cool_down_s,
            ),
            rule=rule(),
            photo=result.Photo(name=self.photo.name, sha256=self.photo.sha256),
            environment=self.environment,
            results=tuple(self.results),
            failures=tuple(self.failures),
        )


def run(request: Request, path: Path, listener: Listener) -> result.Document:
    """Measure all that is requested; after each cell `path` holds the results so far, marked as
    interrupted until all are there. A runtime that fails is noted, and the others are measured.

    Raises:
        UserError: a model, a runtime's package, the photo or an artifact is missing or wrong.
        KeyboardInterrupt: interrupted; what was measured is in `path` and in `result.json` by it.
    """
    for runtime in request.runtimes:
        require_runtime(runtime)
    photo = open_photo(request.photo)
    failures: list[result.Failure] = []
    # All models before the first measurement: a name that is wrong is told at once.
    prepared = [_prepared(request, size, failures, listener) for size in request.sizes]
    ensure_writable(path.parent)
    state = Run(
        PROFILES[request.profile],
        photo,
        read_environment(),
        sustain_s=request.sustain_s,
        failures=failures,
        profile_ops=request.profile_ops,
    )
    for models, setting in itertools.product(prepared, request.settings()):
        _run_cell(setting, models, state, path, listener)
    document = state.document("complete")
    save_latest(document, path)
    return document


def _prepared(
    request: Request, size: Size, failures: list[result.Failure], listener: Listener
) -> Models:
    """Return the models at one size. Of several to compare with, one that can't be exported whole
    is noted and left out."""
    formats = tuple(dict.fromkeys(RUNTIMES[runtime].format for runtime in request.runtimes))
    found = []
    for number, model in enumerate(request.models):
        weights = request.weights if number == 0 else None
        precisions = _wanted(request.precisions, trained=weights is not None)
        wanted = Wanted(model, formats, *precisions, size, weights)
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
    """Return the precisions that are needed, and those that are tried where a format has them:
    random weights don't bear int8."""
    needed = tuple(precision for precision in precisions if precision != result.BEST)
    if result.BEST not in precisions:
        return needed, ()
    return needed, ("fp32", "fp16", "int8") if trained else ("fp32", "fp16")


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with a number after those that occur for a second time and on."""
    counts: dict[str, int] = {}
    made = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        made.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return made


def _run_cell(
    setting: Setting,
    models: Models,
    state: Run,
    path: Path,
    listener: Listener,
) -> None:
    cell = Cell(setting)
    try:
        cell.prepare(models, state.photo, listener.say)
        listener.say(f"{setting.runtime} {setting.precision}, threads: {setting.threads}")
        cell.measure(state.profile, Machine(), listener.progress, state.sustain_s, listener.say)
        if state.profile_ops:
            cell.profile_operations(listener.say)
    except DeviceError as error:  # what was measured before it is kept
        state.results += cell.results()
        state.failures.append(_failure(setting, None, error))
    except KeyboardInterrupt:
        state.results += cell.results()
        _save_interrupted(state, path)
        raise
    else:
        state.results += cell.results()
    state.failures += [_failure(setting, name, error) for name, error in cell.dropped]
    if state.results:
        save(state.document("interrupted"), path)


def _save_interrupted(state: Run, path: Path) -> None:
    if state.results:
        save_latest(state.document("interrupted"), path)


def _failure(setting: Setting, model: str | None, error: LolvitError) -> result.Failure:
    return result.Failure(
        model=model,
        runtime=setting.runtime,
        precision=setting.precision,
        threads=setting.threads,
        what=error.line(),
    )
