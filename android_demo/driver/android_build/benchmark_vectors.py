"""The harness's statistics of made-up measurements, as reference values for the app's."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.schedule import PROFILES, fitted, order_of, warm_up_iterations
from lolvit_benchmarks.harness.timing import curve
from lolvit_benchmarks.results import schema_1

# The app writes result documents of schema version 1, with that version's names.
_CODES = {new: old for old, new in schema_1.CODES.items()}
_WINNERS = {new: old for old, new in schema_1.WINNERS.items()}

# Blocks, rounds of each, samples of a round, and the slow-down of the second model.
_SHAPES = (
    (1, 1, 1, 2.0),
    (1, 5, 3, 0.7),
    (4, 2, 8, 1.0),
    (5, 3, 10, 6.5),
    (4, 2, 2, 1.01),
    (3, 7, 5, 40.0),
)
_RUN_SECONDS = (
    (0.001, 0.002),
    (0.003, 0.02),
    (0.05, 0.4),
    (0.5, 3.0),
    (0.0001, 0.0002),
    (0.01, 0.01, 0.01),
)


def write_benchmark_vectors(path: Path) -> None:
    """Write made-up samples and curves with the harness's figures of them, as JSON."""
    generator = np.random.default_rng(1)
    document = {
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
    blocks: int, rounds: int, each: int, slower: float, generator: np.random.Generator
) -> dict[str, Any]:
    count = blocks * rounds * each
    a = 4 * generator.lognormal(sigma=0.05, size=count)
    b = slower * 4 * generator.lognormal(sigma=0.02, size=count)
    a[:: max(1, count // 4)] *= 3  # interruptions
    round_of = [number for number in range(blocks * rounds) for _ in range(each)]
    block_of = [number // rounds for number in round_of]
    return {
        "round": round_of,
        "block": block_of,
        "a": _figures(a.tolist(), block_of),
        "b": _figures(b.tolist(), block_of),
        "speedup": asdict(stats.ratio_of_medians(b.tolist(), a.tolist(), round_of)),
        "winner": _WINNERS.get(
            quality.winner(stats.ratio_of_medians(b.tolist(), a.tolist(), round_of)) or ""
        ),
        "reasons": [
            {"code": _CODES.get(reason.code, reason.code), "text": reason.text}
            for reason in quality.reasons(
                [
                    quality.Series(name, side.tolist(), block_of)
                    for name, side in (("a", a), ("b", b))
                ],
                quality.Conditions(cores=8, throttle_events=2, too_hot_c=41.5, interrupted=True),
            )
        ],
    }


def _figures(samples: list[float], blocks: list[int]) -> dict[str, Any]:
    return {
        "samples": samples,
        "median": stats.median(samples),
        "p90": stats.percentile(samples, 0.9),
        "p99": stats.percentile(samples, 0.99),
        "variation": stats.variation(samples),
        "variation_trimmed": stats.trimmed_variation(samples),
        "drift": stats.between_block_range(samples, blocks),
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
