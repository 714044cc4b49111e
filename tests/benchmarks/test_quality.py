"""When a result is unstable, and that each cause is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lolvit_benchmarks.analysis.quality import (
    Conditions,
    Limits,
    Reason,
    Series,
    reasons,
    rule,
    state_of,
    winner,
)
from lolvit_benchmarks.analysis.statistics import Interval

QUIET = Conditions(cores=2, others_cores=0.02, stolen_share=0.0, probe_change=0.01)


def series(samples: np.ndarray, blocks: int = 5) -> Series:
    return Series("model", samples.tolist(), np.repeat(range(blocks), samples.size // blocks))


def steady(size: int = 160, spread: float = 0.01) -> np.ndarray:
    return np.random.default_rng(0).normal(10.0, 10.0 * spread, size)


def codes(one: Series, conditions: Conditions = QUIET) -> list[str]:
    return [reason.code for reason in reasons([one], conditions)]


def test_a_steady_run_on_a_quiet_machine_is_stable() -> None:
    assert codes(series(steady())) == []
    assert state_of([]) == "STABLE"


def test_what_cannot_be_read_is_not_held_against_a_run() -> None:
    assert codes(series(steady()), Conditions(cores=2)) == []


def test_a_noisy_model_is_flagged_with_its_figure() -> None:
    noisy = series(steady(spread=0.12))
    (reason,) = [r for r in reasons([noisy], QUIET) if r.code == "variation"]
    assert reason.text.startswith("model: coefficient of variation 1")
    assert state_of([reason]) == "UNSTABLE"


def test_either_model_makes_a_result_unstable() -> None:
    good, bad = series(steady()), replace(series(steady(spread=0.12)), name="other")
    for both in ((good, bad), (bad, good)):
        found = reasons(both, QUIET)
        assert "variation" in {reason.code for reason in found}
        assert all(reason.text.startswith("other:") for reason in found)


def test_a_few_interruptions_leave_a_run_stable_and_many_do_not() -> None:
    few, many = steady(), steady()
    few[::40] *= 8  # 4 of 160
    many[::10] *= 8  # 16 of 160
    assert codes(series(few)) == []
    assert codes(series(many)) == ["variation"]


def test_a_step_change_half_way_is_flagged_as_between_block_range() -> None:
    stepped = steady()
    stepped[80:] *= 1.07
    assert codes(series(stepped)) == ["between-block-range"]


def test_a_slow_rise_is_flagged_as_between_block_range() -> None:
    assert "between-block-range" in codes(series(steady() * np.linspace(1.0, 1.09, 160)))


def test_too_few_runs_are_flagged() -> None:
    assert codes(series(steady(25))) == ["too-few-samples"]
    assert codes(series(steady(30))) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"others_cores": 0.9}, "load"),
        ({"stolen_share": 0.05}, "stolen"),
        ({"frequency_change": 0.2}, "frequency"),
        ({"probe_change": 0.2}, "speed"),
        ({"throttle_events": 1}, "thermal"),
        ({"interrupted": True}, "interrupted"),
    ],
)
def test_each_disturbance_of_the_machine_is_named(change: dict[str, float], code: str) -> None:
    assert codes(series(steady()), replace(QUIET, **change)) == [code]


def test_background_load_is_judged_by_the_size_of_the_machine() -> None:
    busy = replace(QUIET, others_cores=1.0)
    assert codes(series(steady()), busy) == ["load"]
    assert codes(series(steady()), replace(busy, cores=64)) == []


def test_a_winner_is_named_only_when_the_interval_excludes_one() -> None:
    assert winner(Interval(2.0, 1.8, 2.2)) == "candidate"
    assert winner(Interval(0.5, 0.4, 0.6)) == "baseline"
    assert winner(Interval(1.05, 0.99, 1.1)) is None
    assert winner(Interval(1.0, 1.0, 1.0)) is None


def test_reasons_are_data() -> None:
    (reason,) = reasons([series(steady())], replace(QUIET, interrupted=True))
    assert reason == Reason("interrupted", "interrupted before all runs were made")


def test_the_rule_in_words_states_the_limits_in_force() -> None:
    assert "variation is over 5%" in rule()
    assert "fewer than 30 runs" in rule()
    assert "variation is over 7%" in rule(Limits(variation=0.07))
