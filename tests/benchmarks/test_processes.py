"""Measurements of which each block is made in a process of its own, as `reference` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit.errors import DeviceError
from lolvit_benchmarks.analysis import quality
from lolvit_benchmarks.backends.benchmark_case import BenchmarkCase
from lolvit_benchmarks.harness import processes, sessions
from lolvit_benchmarks.harness.candidates import Configuration
from lolvit_benchmarks.harness.prepare import open_folder, open_photo
from lolvit_benchmarks.harness.schedule import PROFILES, SLOTS, order_of
from lolvit_benchmarks.harness.system_monitor import Machine

SHORT = replace(
    PROFILES["quick"], blocks=3, rounds=3, warm_up_runs=2, warm_up_s=0.0, processes=True
)


def prepared(folders: Sequence[Path]) -> BenchmarkCase:
    case = BenchmarkCase(Configuration("ort", "fp32", 1))
    models = [(folder.name, open_folder(folder)) for folder in folders]
    case.prepare(models, open_photo(None), lambda line: None)
    return case


def test_only_the_profile_for_quoted_figures_has_processes() -> None:
    assert [name for name, one in PROFILES.items() if one.processes] == ["reference"]


def test_each_block_has_a_process_of_its_own_and_all_make_one_result(
    fast: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    run = processes.run_module

    def counted(*given: Any, **named: Any) -> Any:
        started.append(given[0])
        return run(*given, **named)

    monkeypatch.setattr(processes, "run_module", counted)
    case, seen = prepared((fast, slow)), []
    case.measure(SHORT, Machine(), lambda done, planned: seen.append((done, planned)))
    assert len(started) == SHORT.blocks
    assert seen == [(number, 9) for number in range(1, 10)]
    (result,) = case.results()
    assert result.speedup.ratio > 1
    assert result.quality.state != "INVALID", result.quality.reasons
    one = result.candidate
    assert len(one.samples) == SHORT.blocks * SHORT.rounds * SLOTS * SHORT.burst
    assert sorted(set(one.sample_block)) == [0, 1, 2]
    assert sorted(set(one.sample_round)) == list(range(9))
    firsts = [round_.slots[0][0] for round_ in case.recording.rounds]
    assert firsts == [order_of(["fast", "slow"], number)[0] for number in range(9)]
    # Before and after each block; seconds since the first block's start.
    assert len(result.readings) == 2 * SHORT.blocks
    assert [r.at_s for r in result.readings] == sorted(r.at_s for r in result.readings)
    assert result.pinned_cores is None or len(result.pinned_cores) == 1
    assert result.conditions.used_cores == len(case.cores or [0])
    assert result.conditions.others_cores is not None


def test_models_are_opened_anew_for_each_block_and_each_is_first_in_half_of_them(
    fast: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    open_session = sessions.open_session

    def logged(runtime: str, path: Path, *given: Any, **named: Any) -> Any:
        session = open_session(runtime, path, *given, **named)
        close = session.close
        session.close = lambda: log.append("closed") or close()
        log.append(path.parent.name)
        return session

    monkeypatch.setattr(sessions, "open_session", logged)
    case = prepared((fast, slow))
    case.measure(replace(SHORT, blocks=4, processes=False), Machine(), lambda done, planned: None)
    closed = ["closed", "closed"]
    assert log == 2 * ["fast", "slow", *closed, "slow", "fast", *closed]
    assert all(profile.blocks % 2 == 0 for profile in PROFILES.values())


def test_a_process_that_fails_leaves_the_blocks_before_it(
    fast: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = processes.run_module, iter([0, 1, 2])

    def failing(*given: Any, **named: Any) -> Any:
        if next(calls) == 2:
            raise DeviceError("measuring in ort was killed by SIGSEGV")
        return run(*given, **named)

    monkeypatch.setattr(processes, "run_module", failing)
    case = prepared((fast, slow))
    with pytest.raises(DeviceError, match="SIGSEGV"):
        case.measure(SHORT, Machine(), lambda done, planned: None)
    (result,) = case.results()
    assert result.quality.state == "INVALID"
    assert [one.code for one in result.quality.reasons] == ["interrupted", "too-few-blocks"]
    assert len(set(result.candidate.sample_block)) == 2


def test_the_difference_between_processes_is_in_the_interval() -> None:
    """Ten blocks whose ratios differ by a percent, of rounds that differ by a thousandth: the
    interval within one process would be ten times too narrow."""
    generator = np.random.default_rng(0)
    blocks = np.repeat(range(10), 13)
    logs = generator.normal(scale=0.01, size=10)[blocks] + generator.normal(scale=1e-3, size=130)
    samples = np.repeat(np.exp(logs), 2)
    rounds = np.repeat(range(130), 2).tolist()
    of_block = np.repeat(blocks, 2).tolist()
    baseline = quality.Series("baseline", samples.tolist(), of_block, rounds)
    candidate = quality.Series("candidate", [1.0] * 260, of_block, rounds)
    speedup = quality.speedup_of(candidate, baseline)
    assert speedup.over == "blocks"
    assert 0.004 < speedup.half_width < 0.012
