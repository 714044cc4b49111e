"""The method's claim on simulated machines, and that the estimators it was chosen from are what
their names say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.harness.schedule import PROFILES
from lolvit_benchmarks.results.files import read_result
from tests.benchmarks import coverage
from tests.benchmarks.test_result_schema_1 import FIXTURE

MACHINES = {"quiet": coverage.QUIET_MACHINE, "disturbed": coverage.DISTURBED_MACHINE}
MEASUREMENTS = 200


@pytest.mark.parametrize("machine", MACHINES)
def test_a_model_against_itself_covers_one(machine: str) -> None:
    generator = np.random.default_rng(0)
    pairs = [coverage.simulated(generator, MACHINES[machine]) for _ in range(MEASUREMENTS)]
    assert len(pairs[0].blocks) == 40
    assert coverage.coverage(pairs, coverage.trimmed_mean).covered >= 0.93
    states = [quality.evaluate(*pair.series(), coverage.QUIET).state for pair in pairs]
    assert states.count("precise") >= 0.9 * MEASUREMENTS
    assert states.count("INVALID") <= 0.01 * MEASUREMENTS


@pytest.mark.parametrize("machine", MACHINES)
def test_a_slowdown_of_three_percent_is_found(machine: str) -> None:
    generator = np.random.default_rng(1)
    slower = [coverage.simulated(generator, MACHINES[machine], ratio=1 / 1.03) for _ in range(100)]
    assert np.mean([coverage.trimmed_mean(pair).high < 1 for pair in slower]) >= 0.95


@pytest.mark.parametrize("estimator", coverage.ESTIMATORS)
def test_every_estimator_finds_the_ratio_and_is_turned_over_by_exchange(estimator: str) -> None:
    pair = coverage.simulated(np.random.default_rng(2), coverage.QUIET_MACHINE, ratio=2.0)
    found = coverage.ESTIMATORS[estimator](pair)
    back = coverage.ESTIMATORS[estimator](
        replace(pair, candidate=pair.baseline, baseline=pair.candidate)
    )
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert found.low < found.value < found.high
    assert (back.low, back.high) == pytest.approx((1 / found.high, 1 / found.low))


def test_a_models_own_slots_become_two_candidates_with_all_samples() -> None:
    (result,) = read_result(FIXTURE).results
    pair = coverage.split(result.candidate, np.random.default_rng(0))
    assert pair is not None and len(pair.blocks) == 4
    both = np.concatenate([pair.candidate, pair.baseline]).ravel()
    assert sorted(both) == sorted(result.candidate.samples)
    assert coverage.splits([FIXTURE], 10)[0].candidate.shape == pair.candidate.shape


def test_what_is_recorded_here_is_a_pair() -> None:
    profile = replace(PROFILES["quick"], blocks=3, rounds=2, warm_up_s=0.0)
    (pair,) = coverage.recorded(1, profile)
    assert pair.candidate.shape == pair.baseline.shape == (6, 6)
    assert quality.evaluate(*pair.series(), coverage.QUIET).reasons == ()
