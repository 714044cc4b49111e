"""The candidates of a benchmark case: artifacts that are inspected before they are timed, and the
results of what was recorded of them, on whichever device.

The first model of a case is the candidate of every result, each other one the baseline of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from lolvit.errors import LolvitError
from lolvit.manifest import Artifact, Precision
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.inspection import Inspection, check_denormals, inspect_artifact
from lolvit_benchmarks.harness.prepare import Photo, Prepared, prepare_input, preprocess_ms
from lolvit_benchmarks.harness.timing import Curve, Recording
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import (
    BEST,
    Best,
    DeviceInfo,
    OperationProfile,
    Roofline,
)
from lolvit_benchmarks.results.notes import model_notes
from lolvit_runtimes.session import FloatArray
from lolvit_runtimes.table import RUNTIMES

ROUNDS_FOR_INTERVAL = 2
COMPARISON = 2  # models: of more than these, one that fails is left out


@dataclass(frozen=True)
class Configuration:
    """How a benchmark case runs; the precision `best` is each model's fastest one."""

    runtime: str
    precision: Precision | Best
    threads: int


@dataclass(frozen=True)
class Candidate:
    """One artifact of a benchmark case, and the input that it runs on, in the artifact's own
    layout. `name` is unique in the case: the model's, with the precision where it has several.
    `slower_precisions_ms` are the medians of the model's precisions that this one was found to be
    faster than."""

    name: str
    model: str
    prepared: Prepared
    artifact: Artifact
    image: FloatArray
    slower_precisions_ms: Mapping[str, float] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class InspectedCandidate(Candidate):
    """A candidate with what was found of it before it was timed; `preprocess_ms` is the time from
    the decoded photo to the input."""

    preprocess_ms: float | None
    inspection: Inspection


Timed = TypeVar("Timed", bound=Candidate)


def inspect_candidates(
    model: str, prepared: Prepared, configuration: Configuration, photo: Photo
) -> list[InspectedCandidate]:
    """Inspect a model's artifacts, each in a process of its own: the one in the configuration's
    precision, or all of the format for `best`.

    Raises:
        UserError: an artifact is missing or changed, or its activations are denormal.
        DeviceError: the runtime failed to open one, or crashed on it.
    """
    format = RUNTIMES[configuration.runtime].format
    return [
        _inspected(Candidate(name, model, prepared, artifact, image), configuration, photo)
        for name, artifact in chosen_artifacts(model, prepared, format, configuration.precision)
        for image in [prepare_input(photo, prepared.manifest.preprocessing, artifact)]
    ]


def chosen_artifacts(
    model: str, prepared: Prepared, format: str, precision: Precision | Best
) -> list[tuple[str, Artifact]]:
    """Return the artifacts of a model that are measured, each with its name: the one of the format
    in the precision, or all of the format for `best`.

    Raises:
        UserError: one is missing or changed.
    """
    if precision != BEST:
        return [(model, prepared.artifact(format, precision))]
    found = [artifact.precision for artifact in prepared.of_format(format)]
    return [(f"{model} {each}", prepared.artifact(format, each)) for each in found]


def _inspected(one: Candidate, configuration: Configuration, photo: Photo) -> InspectedCandidate:
    folder = one.prepared.folder
    inspection = inspect_artifact(
        configuration.runtime, folder, one.artifact, configuration.threads, one.image
    )
    check_denormals(inspection.denormal_share, where=str(folder / one.artifact.path))
    took = preprocess_ms(photo, one.prepared.manifest.preprocessing, one.artifact)
    return InspectedCandidate(**vars(one), preprocess_ms=took, inspection=inspection)


def has_several_precisions(candidates: Sequence[Candidate]) -> bool:
    """Whether a model has more than one artifact among the candidates, of which the fastest is to
    be found before it is measured."""
    return len({one.model for one in candidates}) < len(candidates)


def fastest_precisions(candidates: Sequence[Timed], recording: Recording) -> list[Timed]:
    """Return each model's artifact with the smallest median in `recording`, models in their
    order."""
    medians = {one.name: stats.median(recording.samples(one.name).ms) for one in candidates}
    models: dict[str, list[Timed]] = {}
    for one in candidates:
        models.setdefault(one.model, []).append(one)
    chosen = []
    for several in models.values():
        fastest = min(several, key=lambda one: medians[one.name])
        slower = {
            one.artifact.precision: medians[one.name] for one in several if one is not fastest
        }
        chosen.append(replace(fastest, slower_precisions_ms=slower))
    return chosen


def failure_of(
    configuration: Configuration, device: str, error: LolvitError, model: str | None = None
) -> result.Failure:
    """Return the failure of a configuration that gave no result; `model` None: for all models."""
    return result.Failure(
        model=model,
        device=device,
        runtime=configuration.runtime,
        precision=configuration.precision,
        threads=configuration.threads,
        what=error.line(),
    )


@dataclass(frozen=True)
class Outcome:
    """What was recorded of one benchmark case, and the conditions under which.

    `device_info` is None for this machine; `notes` are shown beside every result; `profiles` are
    by the candidates' names, and `roofline` is None where nothing was profiled. `outputs_changed`
    says by how much, for each candidate whose outputs after timing were not those before.
    """

    configuration: Configuration
    candidates: Sequence[InspectedCandidate]
    recording: Recording
    conditions: quality.Conditions
    readings: Sequence[result.Reading] = ()
    device: str = "host"
    device_info: DeviceInfo | None = None
    cores: Sequence[int] | None = None
    profiles: Mapping[str, OperationProfile] = field(default_factory=dict)
    roofline: Roofline | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)
    outputs_changed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def results(self) -> list[result.Result]:
        """Return the first model against each other one; nothing where fewer than two rounds were
        finished, of which there is no interval."""
        if len(self.recording.rounds) < ROUNDS_FOR_INTERVAL:
            return []
        candidate, *baselines = self.candidates
        return [self._result(candidate, baseline) for baseline in baselines]

    def _result(self, first: InspectedCandidate, other: InspectedCandidate) -> result.Result:
        candidate, baseline = self._model_result(first), self._model_result(other)
        series = self._series(candidate, first), self._series(baseline, other)
        speedup = quality.speedup_of(*series)
        profiled = candidate.operation_profile or baseline.operation_profile
        return result.Result(
            runtime=self.configuration.runtime,
            runtime_version=first.inspection.runtime_version,
            device=self.device,
            device_info=self.device_info,
            precision=self.configuration.precision,
            threads=self.configuration.threads,
            pinned_cores=tuple(self.cores) if self.cores is not None else None,
            placement=result.Placement(
                candidate=first.inspection.placement, baseline=other.inspection.placement
            ),
            candidate=candidate,
            baseline=baseline,
            speedup=result.Speedup(
                ratio=speedup.interval.value,
                low=speedup.interval.low,
                high=speedup.interval.high,
                over=speedup.over,
            ),
            quality=quality_of(quality.evaluate(*series, self.conditions)),
            notes=(*model_notes(candidate, (baseline,)), *self.notes),
            conditions=result.Conditions(**asdict(self.conditions)),
            readings=tuple(self.readings),
            roofline=self.roofline if profiled else None,
        )

    def _series(self, one: result.ModelResult, timed: InspectedCandidate) -> quality.Series:
        return quality.Series(
            one.model,
            one.samples,
            one.sample_block,
            one.sample_round,
            denormal_share=one.denormal_share,
            outputs_changed=self.outputs_changed.get(timed.name),
        )

    def _model_result(self, one: InspectedCandidate) -> result.ModelResult:
        manifest, artifact, inspection = one.prepared.manifest, one.artifact, one.inspection
        samples, curve = self.recording.samples(one.name), self.curves.get(one.name)
        ms, blocks = samples.ms, samples.block
        return result.ModelResult(
            model=one.model,
            size=manifest.size,
            params=manifest.params,
            macs=manifest.macs,
            trained=manifest.weights.trained,
            weights_source=manifest.weights.source,
            precision=artifact.precision,
            slower_precisions_ms=dict(one.slower_precisions_ms) or None,
            artifact=artifact.path,
            artifact_bytes=artifact.bytes,
            artifact_sha256=artifact.sha256,
            median_ms=stats.median(ms),
            p90_ms=stats.percentile(ms, 0.90),
            p99_ms=stats.p99(ms),
            throughput_per_s=1000 * len(ms) / sum(ms),
            variation=stats.variation(ms),
            variation_trimmed=stats.trimmed_variation(ms),
            between_block_range=stats.between_block_range(ms, blocks),
            block_medians_ms=tuple(stats.group_medians(ms, blocks)),
            load_ms=inspection.load_ms,
            first_ms=inspection.first_ms,
            preprocess_ms=one.preprocess_ms,
            peak_memory_bytes=inspection.peak_memory_bytes,
            denormal_share=inspection.denormal_share,
            options=inspection.options,
            operation_profile=self.profiles.get(one.name),
            samples=tuple(ms),
            sample_block=tuple(blocks),
            sample_round=tuple(samples.round),
            sample_order=tuple(samples.order),
            sustained=result.Sustained(**asdict(curve)) if curve is not None else None,
        )


def quality_of(found: quality.Quality) -> result.Quality:
    """Return an evaluation as a result document has it."""
    return result.Quality(
        state=found.state,
        half_width=found.half_width,
        winner=found.winner,
        reasons=tuple(result.Finding(**asdict(one)) for one in found.reasons),
        findings=tuple(result.Finding(**asdict(one)) for one in found.findings),
    )
