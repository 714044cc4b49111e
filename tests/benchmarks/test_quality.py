"""What makes a ratio invalid, what is only a finding, and how precise a ratio is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lolvit_benchmarks.analysis.quality import (
    Conditions,
    Finding,
    Limits,
    Quality,
    Series,
    evaluate,
    findings,
    grade,
    rule,
    speedup_of,
    winner,
)
from lolvit_benchmarks.analysis.statistics import Interval

QUIET = Conditions(cores=2, others_cores=0.02, stolen_share=0.0, probe_change=0.01)
BLOCKS, ROUNDS, EACH = 5, 8, 4  # rounds of a block, samples of a round


def series(samples: np.ndarray, blocks: int = BLOCKS, name: str = "model") -> Series:
    count = samples.size
    return Series(
        name, samples.tolist(), np.repeat(range(blocks), count // blocks), np.arange(count) // EACH
    )


def steady(size: int = 160, spread: float = 0.01, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(10.0, 10.0 * spread, size)


def codes(one: Series, conditions: Conditions = QUIET) -> list[str]:
    return [finding.code for finding in findings([one], conditions)]


def against_itself(
    samples: np.ndarray | None = None, conditions: Conditions = QUIET, factor: float = 1.0
) -> Quality:
    """Evaluate a model against one of the same times, but for `factor` and noise of its own."""
    one = steady() if samples is None else samples
    return evaluate(series(one), series(factor * one * steady(one.size, seed=1) / 10), conditions)


def test_a_steady_run_on_a_quiet_machine_is_precise_and_without_findings() -> None:
    found = against_itself()
    assert (found.state, found.reasons, found.findings) == ("precise", (), ())
    assert found.half_width < 0.005


def test_what_cannot_be_read_is_not_held_against_a_run() -> None:
    assert codes(series(steady()), Conditions(cores=2)) == []


def test_a_noisy_model_is_a_finding_with_its_figure() -> None:
    noisy = series(steady(spread=0.12))
    (finding,) = [r for r in findings([noisy], QUIET) if r.code == "variation"]
    assert finding.text.startswith("model: coefficient of variation 1")


def test_findings_of_either_model_are_named() -> None:
    good, bad = series(steady()), replace(series(steady(spread=0.12)), name="other")
    for both in ((good, bad), (bad, good)):
        found = findings(both, QUIET)
        assert "variation" in {finding.code for finding in found}
        assert all(finding.text.startswith("other:") for finding in found)


def test_a_few_interruptions_are_no_finding_and_many_are() -> None:
    few, many = steady(), steady()
    few[::40] *= 8  # 4 of 160
    many[::10] *= 8  # 16 of 160
    assert codes(series(few)) == []
    assert codes(series(many)) == ["variation"]


def test_a_step_change_half_way_is_a_finding_that_leaves_the_ratio_precise() -> None:
    stepped = steady()
    stepped[80:] *= 1.07
    assert codes(series(stepped)) == ["between-block-range"]
    found = against_itself(stepped)
    assert found.state == "precise"
    assert {finding.code for finding in found.findings} == {"between-block-range"}


def test_a_slow_rise_is_a_finding() -> None:
    assert "between-block-range" in codes(series(steady() * np.linspace(1.0, 1.09, 160)))


def test_too_few_runs_are_a_finding() -> None:
    assert codes(series(steady(25))) == ["too-few-samples"]
    assert codes(series(steady(30))) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"others_cores": 0.9}, "load"),
        ({"stolen_share": 0.05}, "stolen"),
        ({"frequency_change": 0.2}, "frequency"),
        ({"probe_change": 0.2}, "speed"),
        ({"memory_change": 0.2}, "memory"),
        ({"throttle_events": 1}, "thermal"),
        ({"too_hot_c": 48.0}, "temperature"),
    ],
)
def test_each_disturbance_of_the_machine_is_named_and_spoils_no_ratio(
    change: dict[str, float], code: str
) -> None:
    conditions = replace(QUIET, **change)
    assert codes(series(steady()), conditions) == [code]
    assert against_itself(conditions=conditions).state == "precise"


def test_load_is_evaluated_by_the_cores_that_were_used() -> None:
    busy = replace(QUIET, cores=64, others_cores=0.15)
    assert codes(series(steady()), replace(busy, used_cores=1)) == ["load"]
    assert codes(series(steady()), replace(busy, used_cores=4)) == []


def test_an_interruption_is_invalid_and_has_no_winner() -> None:
    found = against_itself(conditions=replace(QUIET, interrupted=True), factor=2.0)
    assert found.state == "INVALID" and found.winner is None
    assert found.reasons == (Finding("interrupted", "interrupted before all runs were made"),)
    assert against_itself(factor=2.0).winner == "candidate"


def test_too_few_blocks_are_invalid() -> None:
    one, other = (series(steady(seed=seed), blocks=2) for seed in (0, 1))
    (reason,) = evaluate(one, other, QUIET).reasons
    assert reason == Finding("too-few-blocks", "2 blocks, fewer than 3")


def test_throttling_is_invalid_where_it_hits_one_model_alone() -> None:
    hot = replace(QUIET, throttle_events=2)
    both = steady()
    both[96:] *= 1.3
    one = series(steady(seed=1) * np.repeat([1.0, 1.3], [96, 64]))
    assert evaluate(series(both), one, hot).state == "precise"
    found = evaluate(series(steady()), one, hot)
    assert found.state == "INVALID"
    assert "throttled-unequally" in [reason.code for reason in found.reasons]
    assert found.reasons[0].text.startswith("the CPU throttled, and the ratio changed by 2")
    cool = evaluate(series(steady()), one, QUIET)
    assert "throttled-unequally" not in [reason.code for reason in cool.reasons]


def test_denormal_activations_and_changed_outputs_are_invalid() -> None:
    other = series(steady(seed=1))
    denormal = replace(series(steady()), denormal_share=0.02)
    changed = replace(series(steady()), outputs_changed="logits agrees by 3 dB, less than 60 dB")
    for bad, code in ((denormal, "denormals"), (changed, "outputs-changed")):
        for pair in ((bad, other), (other, bad)):
            found = evaluate(*pair, QUIET)
            assert [reason.code for reason in found.reasons] == [code]
    fine = replace(series(steady()), denormal_share=0.0)
    assert evaluate(fine, other, QUIET).reasons == ()


def test_a_ratio_that_changes_half_way_contradicts_its_interval() -> None:
    """Of sixteen blocks: the interval over them is narrower than the step."""
    one, other = (steady(16 * ROUNDS * EACH, seed=seed) for seed in (0, 1))
    other[other.size // 2 :] *= 1.04
    found = evaluate(series(one, 16), series(other, 16), QUIET)
    assert [reason.code for reason in found.reasons] == ["halves-disagree"]


def test_the_grade_follows_the_half_width_of_the_interval() -> None:
    assert [grade(width) for width in (0.0, 0.02, 0.021, 0.05, 0.051)] == [
        "precise", "precise", "fair", "fair", "coarse",
    ]  # fmt: skip
    noisy = against_itself(steady(spread=0.0), factor=1.0)
    assert noisy.half_width == pytest.approx(
        speedup_of(series(steady(spread=0.0)), series(steady(spread=0.0) * steady(seed=1) / 10))
        .half_width
    )  # fmt: skip


def test_a_winner_is_named_only_when_the_interval_excludes_one_percent() -> None:
    assert winner(Interval(2.0, 1.8, 2.2)) == "candidate"
    assert winner(Interval(0.5, 0.4, 0.6)) == "baseline"
    assert winner(Interval(1.05, 0.99, 1.1)) is None
    assert winner(Interval(1.0, 1.0, 1.0)) is None
    assert winner(Interval(1.015, 1.005, 1.025)) is None
    assert winner(Interval(1.02, 1.011, 1.03)) == "candidate"
    assert winner(Interval(1 / 1.02, 1 / 1.03, 1 / 1.011)) == "baseline"


def test_the_rule_in_words_states_the_limits_in_force() -> None:
    assert "precise up to 2%, fair up to 5%" in rule()
    assert "coefficient of variation over 5%" in rule()
    assert "fewer than 30 runs" in rule()
    assert "coefficient of variation over 7%" in rule(Limits(variation=0.07))
