"""Result documents made of invented samples, for what only reads results."""

from __future__ import annotations

from typing import Any

import numpy as np

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.candidates import quality_of
from lolvit_benchmarks.results.document import (
    Conditions,
    Document,
    Environment,
    Finding,
    ModelResult,
    Photo,
    Placement,
    Plan,
    Quality,
    Reading,
    Result,
    Speedup,
)

ROUNDS, EACH, BLOCKS = 20, 8, 5


def document(*results: Result, **changes: Any) -> Document:
    """Return a complete document of the given results (by default one precise result)."""
    fields: dict[str, Any] = {
        "state": "complete",
        "profile": Plan(name="default", seconds=10.0, cool_down_s=0.0),
        "quality_rule": quality.rule(),
        "photo": Photo(name="astronaut.png", sha256="0" * 64),
        "environment": environment(),
        "results": results or (result(),),
    }
    return Document(**fields | changes)


def result(
    candidate_ms: float = 3.0,
    baseline_ms: float = 24.0,
    *,
    model: str = "lolvit_x",
    against: str = "mobilevit_xs",
    spread: float = 0.01,
    trained: bool = False,
    size: tuple[int, int] = (256, 256),
    **changes: Any,
) -> Result:
    """Return a result whose models have these medians, about, and this spread."""
    candidate = model_result(model, candidate_ms, spread, trained, seed=1, size=size)
    baseline = model_result(against, baseline_ms, spread, trained, seed=2, size=size)
    series = [
        quality.Series(s.model, s.samples, s.sample_block, s.sample_round)
        for s in (candidate, baseline)
    ]
    speedup = quality.speedup_of(*series)
    conditions = quality.Conditions(cores=2, others_cores=0.01, stolen_share=0.0, probe_change=0.0)
    fields: dict[str, Any] = {
        "runtime": "ort",
        "runtime_version": "1.0",
        "device": "host",
        "precision": "fp32",
        "threads": 1,
        "pinned_cores": (1,),
        "placement": Placement(candidate={"CPU": 100}, baseline={"CPU": 200}),
        "candidate": candidate,
        "baseline": baseline,
        "speedup": Speedup(
            ratio=speedup.interval.value,
            low=speedup.interval.low,
            high=speedup.interval.high,
            over=speedup.over,
        ),
        "quality": quality_of(quality.evaluate(*series, conditions)),
        "notes": () if trained else ("Weights are untrained.",),
        "conditions": Conditions(**vars(conditions)),
        "readings": (
            Reading(at_s=0, probe_us=36, frequency_mhz=None, temperature_c=None,
                    throttle_events=None),
        ),
    }  # fmt: skip
    return Result(**fields | changes)


def model_result(
    model: str,
    ms: float,
    spread: float,
    trained: bool,
    seed: int,
    size: tuple[int, int] = (256, 256),
) -> ModelResult:
    """Return a model with normally distributed samples."""
    count = ROUNDS * EACH
    samples = ms * (1 + spread * np.random.default_rng(seed).standard_normal(count))
    times = [float(value) for value in samples]
    return ModelResult(
        model=model,
        size=size,
        params=2_300_000,
        macs=155_000_000,
        trained=trained,
        weights_source="random",
        artifact="model-fp32.onnx",
        artifact_bytes=9_300_000,
        artifact_sha256="1" * 64,
        median_ms=stats.median(times),
        p90_ms=stats.percentile(times, 0.9),
        p99_ms=stats.p99(times),
        throughput_per_s=1000 / ms,
        variation=stats.variation(times),
        variation_trimmed=stats.trimmed_variation(times),
        between_block_range=0.01,
        block_medians_ms=(ms,) * BLOCKS,
        load_ms=30.0,
        first_ms=2 * ms,
        preprocess_ms=4.0,
        peak_memory_bytes=None,
        denormal_share=0.0,
        options={"threads": "1"},
        samples=tuple(times),
        sample_block=tuple(i // (count // BLOCKS) for i in range(count)),
        sample_round=tuple(i // EACH for i in range(count)),
        sample_order=tuple(2 * i + seed - 1 for i in range(count)),
    )


def environment(**changes: Any) -> Environment:
    """Return a machine without sensors."""
    fields: dict[str, Any] = {
        "device": "host",
        "cpu": "Some CPU",
        "cpu_flags": ("avx2",),
        "architecture": "x86_64",
        "virtual": True,
        "cores": 2,
        "cores_available": 2,
        "governor": None,
        "frequency_mhz": None,
        "highest_frequency_mhz": None,
        "temperature_c": None,
        "battery_percent": None,
        "on_mains": None,
        "load_average": (0.1, 0.1, 0.1),
        "memory_bytes": 8_000_000_000,
        "system": "Linux",
        "python": "3.11.0",
        "packages": {"onnxruntime": "1.0"},
        "lolvit_version": "0.1.0",
        "lolvit_commit": None,
        "date": "2026-01-01T00:00:00+00:00",
    }
    return Environment(**fields | changes)


INVALID = Quality(
    state="INVALID",
    half_width=0.01,
    winner=None,
    reasons=(Finding(code="interrupted", text="cut short by a cat"),),
    findings=(),
)


def disturbed(result: Result) -> Result:
    """Return a result with a finding."""
    found = result.quality.model_copy(
        update={"findings": (Finding(code="load", text="a busy neighbour"),)}
    )
    return result.model_copy(update={"quality": found})
