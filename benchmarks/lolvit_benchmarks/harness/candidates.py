"""What takes part in a measurement: artifacts, looked at before they are timed and described
afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lolvit.errors import LolvitError
from lolvit.manifest import Artifact, Precision
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.denormals import refuse_denormals
from lolvit_benchmarks.harness.inputs import Photo, prepare_input, preprocess_ms
from lolvit_benchmarks.harness.inspection import Preflight, preflight
from lolvit_benchmarks.harness.prepare import Prepared
from lolvit_benchmarks.harness.sustained import Curve
from lolvit_benchmarks.harness.timing import Samples
from lolvit_benchmarks.profiling.worker import Profiles
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.document import BEST, Best
from lolvit_runtimes.session import FloatArray
from lolvit_runtimes.table import RUNTIMES

COMPARISON = 2  # models: of more than these, one that fails is left out
MATCHED_PARAMETERS = 0.03  # two models within this share of each other are of one size


@dataclass(frozen=True)
class Setting:
    """Where a measurement runs; `best` is each model's fastest precision."""

    runtime: str
    precision: Precision | Best
    threads: int


@dataclass(frozen=True)
class Entrant:
    """One artifact of a measurement, with all that is needed to time and describe it. `name` tells
    it from the others: the model's, with the precision where several of a model's take part."""

    name: str
    model: str
    prepared: Prepared
    artifact: Artifact
    image: FloatArray
    preprocess_ms: float | None
    seen: Preflight


def entrants(model: str, prepared: Prepared, setting: Setting, photo: Photo) -> list[Entrant]:
    """Look at a model's artifacts that take part, each in a process of its own: the one in the
    setting's precision, or all of the format for `best`.

    Raises:
        UserError: an artifact is missing or changed, or its activations are denormal.
        DeviceError: the runtime refused one or crashed on it.
    """
    format = RUNTIMES[setting.runtime].format
    return [
        _entrant(name, model, prepared, artifact, setting, photo)
        for name, artifact in chosen_artifacts(model, prepared, format, setting.precision)
    ]


def chosen_artifacts(
    model: str, prepared: Prepared, format: str, precision: Precision | Best
) -> list[tuple[str, Artifact]]:
    """Return a model's artifacts of a format that take part, each with its name: the one in the
    precision, or all for `best`.

    Raises:
        UserError: one is missing or changed.
    """
    if precision != BEST:
        return [(model, prepared.artifact(format, precision))]
    found = [a.precision for a in prepared.manifest.artifacts if a.format == format]
    return [(f"{model} {each}", prepared.artifact(format, each)) for each in found]


def _entrant(
    name: str, model: str, prepared: Prepared, artifact: Artifact, setting: Setting, photo: Photo
) -> Entrant:
    preprocessing = prepared.manifest.preprocessing
    image = prepare_input(photo, preprocessing, artifact)
    seen = preflight(setting.runtime, prepared.folder, artifact, setting.threads, image)
    refuse_denormals(seen.denormal_share, where=str(prepared.folder / artifact.path))
    took = preprocess_ms(photo, preprocessing, artifact)
    return Entrant(name, model, prepared, artifact, image, took, seen)


def failure_of(
    setting: Setting, device: str, error: LolvitError, model: str | None = None
) -> result.Failure:
    """Return what a setting that gave no result leaves; `model` None: for all models."""
    return result.Failure(
        model=model,
        device=device,
        runtime=setting.runtime,
        precision=setting.precision,
        threads=setting.threads,
        what=error.line(),
    )


def side_of(one: Entrant, samples: Samples, profiles: Profiles, curve: Curve | None) -> result.Side:
    """Return an artifact's part of a result."""
    manifest, ms = one.prepared.manifest, samples.ms
    median_ms = stats.median(ms)
    return result.Side(
        model=one.model,
        size=manifest.size,
        params=manifest.params,
        macs=manifest.macs,
        trained=manifest.weights.trained,
        weights_source=manifest.weights.source,
        precision=one.artifact.precision,
        artifact=one.artifact.path,
        artifact_bytes=one.artifact.bytes,
        artifact_sha256=one.artifact.sha256,
        median_ms=median_ms,
        p90_ms=stats.percentile(ms, 0.90),
        p99_ms=stats.percentile(ms, 0.99),
        throughput_per_s=1000 * len(ms) / sum(ms),
        variation=stats.variation(ms),
        variation_trimmed=stats.trimmed_variation(ms),
        drift=stats.drift(ms, samples.block),
        block_medians_ms=tuple(stats.group_medians(ms, samples.block)),
        load_ms=one.seen.load_ms,
        first_ms=one.seen.first_ms,
        preprocess_ms=one.preprocess_ms,
        peak_memory_bytes=one.seen.peak_memory_bytes,
        denormal_share=one.seen.denormal_share,
        options=one.seen.options,
        profile=profiles.of(one.name, median_ms),
        samples=tuple(ms),
        sample_block=tuple(samples.block),
        sample_round=tuple(samples.round),
        sample_order=tuple(samples.order),
        sustained=result.Sustained(**asdict(curve)) if curve is not None else None,
    )


def notes(a: result.Side, b: result.Side) -> tuple[str, ...]:
    """Return what has to be said beside the figures of two models."""
    untrained = [side.model for side in (a, b) if not side.trained]
    found = []
    if untrained:
        found.append(
            f"Weights are untrained ({', '.join(untrained)}; BatchNorm calibrated on photos): "
            "these are times of the architecture, and say nothing of accuracy."
        )
    if a.size != b.size:
        sizes = " and ".join(f"{side.model} {side.size[0]}x{side.size[1]}" for side in (a, b))
        found.append(f"The models see images of different sizes: {sizes}.")
    if abs(a.params / b.params - 1) > MATCHED_PARAMETERS:
        found.append(
            f"The models differ in parameters: {a.model} has {a.params / 1e6:.2f} M, "
            f"{b.model} {b.params / 1e6:.2f} M."
        )
    return tuple(found)
