"""The harness's statistics of made-up measurements, as reference values for the app's.

Those of the speedup over rounds are `tests/vectors/statistics.json`, by which the browser page is
checked too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from android_build.project import ANDROID
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.schedule import PROFILES, fitted, order_of, warm_up_iterations
from lolvit_benchmarks.harness.timing import curve

STATISTICS = ANDROID.parent / "tests" / "vectors" / "statistics.json"

# Blocks, rounds of each, samples of a round, the baseline's time over the candidate's, and what the
# last third of the rounds multiplies it by.
_SHAPES = (
    (1, 2, 2, 2.0, 1.0),
    (1, 5, 4, 0.7, 1.0),
    (4, 4, 6, 1.0, 1.0),
    (5, 8, 10, 6.5, 1.0),
    (5, 8, 10, 1.01, 1.5),
    (3, 7, 6, 40.0, 1.0),
    (5, 20, 10, 0.5, 1.0),
    (1, 40, 10, 2.0, 1.5),
)
_RUN_SECONDS = (
    (0.001, 0.002),
    (0.003, 0.02),
    (0.008, 0.025),
    (0.05, 0.4),
    (0.5, 3.0),
    (0.0001, 0.0002),
    (0.01, 0.01, 0.01),
)
_CONDITIONS = (
    quality.Conditions(cores=8),
    quality.Conditions(cores=8, throttle_events=2, too_hot_c=41.5, interrupted=True),
)


def write_benchmark_vectors(path: Path) -> None:
    """Write made-up samples and curves with the harness's figures of them, as JSON."""
    generator = np.random.default_rng(1)
    document = {
        "ratios": json.loads(STATISTICS.read_text()),
        "measurements": [_measurement(*shape, generator) for shape in _SHAPES],
        "curves": [_curve(count, generator) for count in (1, 7, 400)],
        "plans": [_plan(name, runs) for name in ("quick", "default") for runs in _RUN_SECONDS],
        "orders": [
            {"models": models, "number": number, "order": _order(models, number)}
            for models in (2, 3)
            for number in range(4)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def _order(models: int, number: int) -> list[int]:
    names = [str(place) for place in range(models)]
    return [names.index(name) for name in order_of(names, number)]


def _measurement(
    blocks: int,
    rounds: int,
    each: int,
    ratio: float,
    change: float,
    generator: np.random.Generator,
) -> dict[str, Any]:
    count = blocks * rounds * each
    candidate = 4 * generator.lognormal(sigma=0.05, size=count)
    baseline = ratio * 4 * generator.lognormal(sigma=0.02, size=count)
    candidate[:: max(1, count // 4)] *= 3  # interruptions
    baseline[2 * count // 3 :] *= change
    round_of = [number for number in range(blocks * rounds) for _ in range(each)]
    block_of = [number // rounds for number in round_of]
    first = quality.Series("candidate", candidate.tolist(), block_of, round_of)
    second = quality.Series("baseline", baseline.tolist(), block_of, round_of)
    changed = replace(first, outputs_changed="9 values, not 10")
    return {
        "round": round_of,
        "block": block_of,
        "candidate": _figures(candidate.tolist(), block_of),
        "baseline": _figures(baseline.tolist(), block_of),
        "quality": [
            asdict(quality.evaluate(first, second, _CONDITIONS[0])),
            asdict(quality.evaluate(changed, second, _CONDITIONS[1])),
        ],
    }


def _figures(samples: list[float], blocks: list[int]) -> dict[str, Any]:
    return {
        "samples": samples,
        "median": stats.median(samples),
        "p90": stats.percentile(samples, 0.9),
        "p99": stats.p99(samples),
        "variation": stats.variation(samples),
        "variation_trimmed": stats.trimmed_variation(samples),
        "between_block_range": stats.between_block_range(samples, blocks),
        "block_medians": stats.group_medians(samples, blocks),
    }


def _curve(count: int, generator: np.random.Generator) -> dict[str, Any]:
    durations = (20 * generator.lognormal(sigma=0.1, size=count)).tolist()
    starts = np.concatenate([[0.0], np.cumsum(durations)[:-1] / 1e3]).tolist()
    return {"starts": starts, "durations": durations, "curve": asdict(curve(starts, durations))}


def _plan(name: str, runs: tuple[float, ...]) -> dict[str, Any]:
    plan = fitted(PROFILES[name], runs)
    return {
        "profile": name,
        "runs": runs,
        "slot_warm_up_runs": [warm_up_iterations(run) for run in runs],
        "plan": {name: getattr(plan, name) for name in ("blocks", "rounds", "burst", "seconds")},
    }
