"""The method's claim on simulated machines, that the estimators it was chosen from are what their
names say, and the recording of measurements with a known ratio."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.coverage import estimators, simulation
from lolvit_benchmarks.coverage.__main__ import UNDISTURBED, cli
from lolvit_benchmarks.coverage.recording import read_runs
from lolvit_benchmarks.results.files import read_result
from tests.benchmarks.test_result_schema_1 import FIXTURE
from tests.benchmarks.tiny import make_folder

MACHINES = {"quiet": simulation.QUIET_MACHINE, "disturbed": simulation.DISTURBED_MACHINE}
MEASUREMENTS = 200


@pytest.mark.parametrize("machine", MACHINES)
def test_a_model_against_itself_covers_one(machine: str) -> None:
    generator = np.random.default_rng(0)
    pairs = [simulation.simulated(generator, MACHINES[machine]) for _ in range(MEASUREMENTS)]
    assert len(pairs[0].blocks) == 42
    assert estimators.coverage(pairs, estimators.trimmed_mean).covered >= 0.93
    states = [quality.evaluate(*pair.series(), UNDISTURBED).state for pair in pairs]
    assert states.count("precise") >= 0.9 * MEASUREMENTS
    assert states.count("INVALID") <= 0.01 * MEASUREMENTS


@pytest.mark.parametrize("machine", MACHINES)
def test_a_slowdown_of_three_percent_is_found(machine: str) -> None:
    generator = np.random.default_rng(1)
    truth = 1 / 1.03
    slower = [simulation.simulated(generator, MACHINES[machine], ratio=truth) for _ in range(100)]
    found = estimators.coverage(slower, estimators.trimmed_mean, truth)
    assert found.differs >= 0.95 and found.covered >= 0.9


@pytest.mark.parametrize("estimator", estimators.ESTIMATORS)
def test_every_estimator_finds_the_ratio_and_is_turned_over_by_exchange(estimator: str) -> None:
    pair = simulation.simulated(np.random.default_rng(2), simulation.QUIET_MACHINE, ratio=2.0)
    found = estimators.ESTIMATORS[estimator](pair)
    back = estimators.ESTIMATORS[estimator](
        replace(pair, candidate=pair.baseline, baseline=pair.candidate)
    )
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert found.low < found.value < found.high
    assert (back.low, back.high) == pytest.approx((1 / found.high, 1 / found.low))


def test_a_models_own_slots_become_two_candidates_with_all_samples() -> None:
    (result,) = read_result(FIXTURE).results
    pair = simulation.split(result.candidate, np.random.default_rng(0))
    assert pair is not None and len(pair.blocks) == 4
    both = np.concatenate([pair.candidate, pair.baseline]).ravel()
    assert sorted(both) == sorted(result.candidate.samples)
    assert simulation.splits([FIXTURE], 10)[0].candidate.shape == pair.candidate.shape


def record(*arguments: str | Path) -> None:
    cli.main(["record", *map(str, arguments)], standalone_mode=False)


def _coverage(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lolvit_benchmarks.coverage", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("short_warm_up")
def test_runs_are_recorded_under_every_condition_resumed_and_evaluated(tmp_path: Path) -> None:
    file, folder = tmp_path / "runs.jsonl", make_folder(tmp_path / "model")
    first = ("--condition", "quiet", "--condition", "step", "--profile", "quick")
    record(file, "--model", folder, "--runs", "1", *first)
    before = file.read_bytes()
    file.write_bytes(before + before[:100])  # as a killed process leaves it
    record(file, "--model", folder, "--runs", "1", "--profile", "quick")
    assert file.read_bytes().startswith(before)
    runs = read_runs(file)
    assert sorted(run.condition for run in runs) == ["busy", "memory", "quiet", "slower", "step"]
    for run in runs:
        assert run.pair.candidate.shape == run.pair.baseline.shape == (16, 6)
        assert list(run.round_block) == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    table = _coverage("evaluate", file)
    assert table.returncode == 0, table.stderr
    assert table.stdout.count("| trimmed mean |") == 5 and "| slower (1) |" in table.stdout


def test_a_file_of_another_artifact_or_of_something_else_is_one_line(tmp_path: Path) -> None:
    file, folder = tmp_path / "runs.jsonl", make_folder(tmp_path / "model")
    short = ("--runs", "1", "--condition", "quiet", "--profile", "quick")
    assert _coverage("record", file, "--model", folder, *short).returncode == 0
    other = make_folder(tmp_path / "other", width=8)
    refused = _coverage("record", file, "--model", other, *short)
    assert refused.returncode == 2 and "another artifact" in refused.stderr
    assert len(read_runs(file)) == 1
    file.write_text("{}\n")
    done = _coverage("evaluate", file)
    assert done.returncode == 2
    assert f"{file}:1: is no run" in done.stderr and done.stderr.count("\n") == 1
