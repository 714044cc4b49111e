"""The vectors by which the implementations of the statistics in other languages are checked:
`python -m tests.vectors.statistics_vectors` writes `statistics.json`.

Each has the samples of two models in the order of measuring, the round of each sample and the block
of each round, and the figures that follow from them. `t_quantiles` are by degrees of freedom.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.student_t import t_quantile
from lolvit_benchmarks.analysis import statistics as stats

PATH = Path(__file__).parent / "statistics.json"

# Name: blocks, rounds of each, samples of a slot, speedup, spread of runs, of blocks; disturbed.
_CASES: dict[str, tuple[int, int, int, float, float, float, bool]] = {
    "two rounds": (1, 2, 1, 2.0, 0.02, 0.0, False),
    "four rounds, one a block": (4, 1, 3, 1.01, 0.02, 0.0, False),
    "quick": (4, 2, 4, 6.5, 0.02, 0.0, False),
    "forty rounds": (5, 8, 4, 1.0, 0.03, 0.0, False),
    "forty rounds, disturbed": (5, 8, 4, 1.5, 0.03, 0.0, True),
    "blocks that differ": (5, 8, 3, 0.97, 0.01, 0.03, False),
    "loading order": (6, 7, 3, 1.02, 0.01, 0.004, False),
    "equal samples": (2, 3, 2, 1.0, 0.0, 0.0, False),
}


def vectors() -> dict[str, Any]:
    """Return all vectors, the same each time."""
    generator = np.random.default_rng(2)
    return {
        "measurements": [_measurement(name, *case, generator) for name, case in _CASES.items()],
        "t_quantiles": {str(v): t_quantile(v) for v in (1, 2, 3, 4, 5, 6, 10, 30, 200)},
    }


def _measurement(
    name: str,
    blocks: int,
    rounds: int,
    each: int,
    speedup: float,
    spread: float,
    block_spread: float,
    disturbed: bool,
    generator: np.random.Generator,
) -> dict[str, Any]:
    shape = (blocks, rounds, 2 * each)
    candidate = 4 * generator.lognormal(sigma=spread, size=shape)
    baseline = 4 * speedup * generator.lognormal(sigma=spread, size=shape)
    baseline *= generator.lognormal(sigma=block_spread, size=(blocks, 1, 1))
    if name == "loading order":
        baseline *= np.where(np.arange(blocks) % 2 == 1, 1.03, 1.0)[:, None, None]
    if disturbed:  # a slot of each sixth round takes 40 % longer
        candidate.reshape(-1, 2 * each)[::6, :each] *= 1.4
    samples = {
        "candidate": [float(f"{ms:.6g}") for ms in candidate.ravel()],
        "baseline": [float(f"{ms:.6g}") for ms in baseline.ravel()],
    }
    sample_round = [number for number in range(blocks * rounds) for _ in range(2 * each)]
    round_block = [number // rounds for number in range(blocks * rounds)]
    logs = stats.round_log_ratios(samples["baseline"], samples["candidate"], sample_round)
    found = stats.ratio_over_rounds(logs, round_block)
    return {
        "name": name,
        **samples,
        "sample_round": sample_round,
        "round_block": round_block,
        "round_log_ratios": logs,
        "ratio": found.interval.value,
        "low": found.interval.low,
        "high": found.interval.high,
        "over": found.over,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors()) + "\n")
