"""The order of runs is balanced, and the number of runs fits the time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit_benchmarks.harness.schedule import (
    PROFILES,
    SLOTS,
    Profile,
    fitted,
    order_of,
    round_s,
    warm_up_iterations,
)

several = st.lists(st.floats(1e-4, 0.05), min_size=1, max_size=4)


def seconds_of(profile: Profile, runs_s: list[float]) -> float:
    return profile.blocks * profile.rounds * round_s(profile.burst, runs_s)


def test_two_models_alternate_as_abba_then_baab() -> None:
    assert "".join(order_of("AB", 0)) == "ABBA"
    assert "".join(order_of("AB", 1)) == "BAAB"


@given(st.integers(1, 12), st.integers(0, 50))
def test_every_model_meets_a_steady_drift_equally(models: int, number: int) -> None:
    names = [f"m{i}" for i in range(models)]
    order = order_of(names, number)
    assert Counter(order) == dict.fromkeys(names, SLOTS)
    mean_place = {n: sum(i for i, m in enumerate(order) if m == n) / SLOTS for n in names}
    assert len(set(mean_place.values())) == 1


def test_every_model_starts_equally_often() -> None:
    starts = Counter(order_of("ABC", number)[0] for number in range(9))
    assert starts == {"A": 3, "B": 3, "C": 3}


@pytest.mark.parametrize(("run_s", "runs"), [(0.001, 20), (0.008, 4), (0.02, 2), (0.5, 1)])
def test_short_runs_need_more_of_them_to_settle(run_s: float, runs: int) -> None:
    assert warm_up_iterations(run_s) == runs


def test_a_round_lasts_as_long_as_its_recorded_and_unrecorded_runs() -> None:
    assert round_s(4, [0.001, 0.1]) == pytest.approx(2 * (24 * 0.001 + 5 * 0.1))


@pytest.mark.parametrize(
    ("name", "runs", "blocks"), [("quick", 96, 4), ("default", 252, 6), ("reference", 1300, 10)]
)
def test_fast_models_get_at_least_the_runs_of_the_profile(
    name: str, runs: int, blocks: int
) -> None:
    profile = fitted(PROFILES[name], [0.0035, 0.027])
    assert profile.runs >= runs
    assert profile.blocks == blocks


def test_the_default_profile_has_over_forty_rounds_of_short_slots_in_thirteen_seconds() -> None:
    profile = fitted(PROFILES["default"], [0.0035, 0.027])  # LOLViT-X and MobileViT-XS
    assert profile.blocks * profile.rounds == 42
    assert 3 <= profile.burst <= 5
    assert seconds_of(profile, [0.0035, 0.027]) <= 13.0


def test_slower_models_get_half_the_rounds_before_slots_of_fewer_than_three_runs() -> None:
    """Of two models of 35, 55 and 75 ms: rounds of all blocks, and runs of a slot."""
    plans = [fitted(PROFILES["default"], [run_s] * 2) for run_s in (0.035, 0.055, 0.075)]
    assert [plan.burst for plan in plans] == [3, 2, 1]
    assert all(18 <= plan.blocks * plan.rounds < 42 for plan in plans)


@given(st.sampled_from(["quick", "default"]), several)
def test_capped_profiles_stay_in_their_time(name: str, runs_s: list[float]) -> None:
    profile = fitted(PROFILES[name], runs_s)
    assert seconds_of(profile, runs_s) <= profile.seconds * (1 + 1e-9)
    assert profile.runs <= PROFILES[name].runs


@given(st.sampled_from(["quick", "default"]), several)
def test_capped_profiles_use_their_time(name: str, runs_s: list[float]) -> None:
    profile = fitted(PROFILES[name], runs_s)
    if profile.burst < PROFILES[name].burst and profile.rounds == PROFILES[name].rounds:
        longer = profile.blocks * profile.rounds * round_s(profile.burst + 1, runs_s)
        assert longer > profile.seconds


@pytest.mark.parametrize("name", ["quick", "default"])
def test_a_model_among_many_gets_as_many_runs_as_one_of_two(name: str) -> None:
    two, ten = (fitted(PROFILES[name], [0.01] * count) for count in (2, 10))
    assert ten.runs >= two.runs > 30


@given(st.sampled_from(["quick", "default"]), st.floats(0.5, 100))
def test_slow_models_still_get_a_run_in_every_slot(name: str, run_s: float) -> None:
    profile = fitted(PROFILES[name], [run_s, run_s])
    assert profile.blocks == PROFILES[name].blocks
    assert (profile.rounds, profile.burst) == (1, 1)
    assert profile.runs == profile.blocks * SLOTS


@given(several)
def test_the_reference_profile_lasts_at_least_a_minute(runs_s: list[float]) -> None:
    profile = fitted(PROFILES["reference"], runs_s)
    assert seconds_of(profile, runs_s) >= 60 * (1 - 1e-9)
    assert profile.runs >= 1024
