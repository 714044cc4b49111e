"""The statistics, by the properties that they must have and by simulated experiments."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.student_t import t_quantile
from lolvit_benchmarks.analysis import statistics as stats
from tests.vectors import statistics_vectors

durations = st.floats(min_value=1e-3, max_value=1e4)
samples = st.lists(durations, min_size=1, max_size=60)
factors = st.floats(min_value=1e-3, max_value=1e3)


@st.composite
def measurements(draw: st.DrawFn) -> tuple[list[float], list[float], list[int]]:
    """Both models' samples, and the round of each: rounds of two slots of equal lengths."""
    rounds, each = draw(st.integers(2, 6)), 2 * draw(st.integers(1, 3))
    samples = st.lists(durations, min_size=rounds * each, max_size=rounds * each)
    return draw(samples), draw(samples), [number for number in range(rounds) for _ in range(each)]


def ratio(a: list[float], b: list[float], rounds: list[int]) -> stats.Interval:
    logs = stats.round_log_ratios(a, b, rounds)
    return stats.ratio_over_rounds(logs, [0] * len(logs)).interval


@given(measurements())
def test_interval_holds_the_ratio(case: tuple[list[float], ...]) -> None:
    a, b, rounds = case
    found = ratio(a, b, rounds)
    assert found.low <= found.value <= found.high


@given(measurements())
def test_exchanging_the_models_gives_the_reciprocals(case: tuple[list[float], ...]) -> None:
    a, b, rounds = case
    there, back = ratio(a, b, rounds), ratio(b, a, rounds)
    assert np.log(back.value) == pytest.approx(-np.log(there.value), abs=1e-9)
    assert np.log(back.low) == pytest.approx(-np.log(there.high), rel=1e-9, abs=1e-9)
    assert np.log(back.high) == pytest.approx(-np.log(there.low), rel=1e-9, abs=1e-9)


@given(measurements(), factors, factors)
def test_scaling_the_models_scales_ratio_and_interval(
    case: tuple[list[float], ...], above: float, below: float
) -> None:
    a, b, rounds = case
    plain = ratio(a, b, rounds)
    scaled = ratio([above * t for t in a], [below * t for t in b], rounds)
    for name in ("value", "low", "high"):
        expected = np.log(getattr(plain, name)) + np.log(above / below)
        assert np.log(getattr(scaled, name)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(measurements())
def test_a_model_against_itself_is_exactly_one(case: tuple[list[float], ...]) -> None:
    a, _, rounds = case
    assert ratio(a, a, rounds) == stats.Interval(1.0, 1.0, 1.0)


@pytest.mark.parametrize("sizes", [((4, 2), 3), ((4, 4), 4)])
def test_unequal_numbers_of_samples_are_refused(sizes: tuple[tuple[int, int], int]) -> None:
    (first, second), labels = sizes
    rounds = [0] * first + [1] * second
    with pytest.raises(ValueError, match=r"unequal sizes|samples for"):
        stats.round_log_ratios([1.0] * len(rounds), [1.0] * (labels + 3), rounds)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Noise of single runs, noise that a round shares, and a drift through both models."""
    generator = np.random.default_rng(7)
    experiments, rounds, each, truth = 300, 20, 8, 4.0
    labels = np.repeat(np.arange(rounds), each)
    covered = 0
    for _ in range(experiments):
        shared = generator.normal(0, 0.03, rounds)[labels] + np.linspace(0, 0.1, labels.size)
        own = generator.normal(0, 0.02, (2, rounds))[:, labels]
        runs = generator.exponential(0.03, (2, labels.size))
        a, b = np.exp(shared + own + runs) * np.array([[truth], [1.0]])
        interval = ratio(a.tolist(), b.tolist(), labels.tolist())
        covered += interval.low <= truth <= interval.high
    assert 0.90 <= covered / experiments <= 0.99


def test_interval_ignores_what_disturbs_both_models_of_a_round_alike() -> None:
    labels = [i // 4 for i in range(80)]
    shared = np.exp(np.random.default_rng(3).normal(0, 0.3, 20))[labels]
    interval = ratio((3 * shared).tolist(), shared.tolist(), labels)
    assert interval.high - interval.low < 1e-9


def test_interval_narrows_as_samples_grow() -> None:
    generator = np.random.default_rng(6)
    widths = []
    for rounds in (5, 80):
        labels = [i // 4 for i in range(4 * rounds)]
        a, b = generator.lognormal(sigma=0.1, size=(2, 4 * rounds)).tolist()
        interval = ratio(a, b, labels)
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2


@given(samples, factors)
def test_spread_and_between_block_range_do_not_depend_on_the_unit(
    times: list[float], factor: float
) -> None:
    groups = [i % 3 for i in range(len(times))]
    scaled = [factor * t for t in times]
    for name in ("variation", "trimmed_variation"):
        spread = getattr(stats, name)
        assert spread(scaled) == pytest.approx(spread(times), rel=1e-6, abs=1e-9)
    expected = pytest.approx(stats.between_block_range(times, groups), rel=1e-9, abs=1e-9)
    assert stats.between_block_range(scaled, groups) == expected


@given(samples, st.floats(0, 1), st.floats(0, 1))
def test_percentiles_rise_with_their_share_and_stay_among_the_samples(
    times: list[float], one: float, other: float
) -> None:
    low, high = (stats.percentile(times, share) for share in sorted((one, other)))
    assert min(times) <= low <= high <= max(times)


@given(samples)
def test_median_is_the_half_percentile(times: list[float]) -> None:
    assert stats.median(times) == pytest.approx(stats.percentile(times, 0.5), rel=1e-12)


def test_variation_is_the_standard_deviation_over_the_mean() -> None:
    assert stats.variation([1.0, 3.0]) == pytest.approx(np.sqrt(2) / 2)
    assert stats.variation([5.0]) == 0.0


def test_trimming_drops_the_slowest_twentieth_and_no_more() -> None:
    steady = [10.0] * 95
    assert stats.trimmed_variation(steady + [100.0] * 5) == 0.0
    assert stats.trimmed_variation(steady + [100.0] * 6) > 0.5
    assert stats.variation(steady + [100.0] * 5) > 0.5


def test_trimming_spares_the_fastest() -> None:
    assert stats.trimmed_variation([10.0] * 99 + [1.0]) > 0.05


def test_group_medians_follow_the_order_of_the_groups() -> None:
    assert stats.group_medians([5.0, 1.0, 3.0, 2.0], [1, 0, 1, 0]) == [1.5, 4.0]


@given(samples)
def test_one_group_does_not_between_block_range(times: list[float]) -> None:
    assert stats.between_block_range(times, [0] * len(times)) == 0.0


def test_between_block_range_is_the_range_of_group_medians_over_the_median() -> None:
    assert stats.between_block_range(
        [9.0, 9.0, 10.0, 10.0, 10.0, 11.0], [0, 0, 1, 1, 1, 2]
    ) == pytest.approx(0.2)


@given(measurements())
def test_latency_over_rounds_is_a_latency_with_its_interval(case: tuple[list[float], ...]) -> None:
    a, _, rounds = case
    found = stats.latency_over_rounds(a, [0] * len(a), rounds).interval
    assert found.low <= found.value <= found.high
    assert min(a) * (1 - 1e-9) <= found.value <= max(a) * (1 + 1e-9)


def test_separate_measurements_do_not_cancel_what_they_share() -> None:
    labels = [i // 4 for i in range(80)]
    blocks = [i // 16 for i in range(80)]
    shared = np.exp(np.random.default_rng(3).normal(0, 0.3, 20))[labels].tolist()
    paired = ratio(shared, shared, labels)
    alone = stats.latency_over_rounds(shared, blocks, labels).interval
    separate = stats.quotient(alone, alone)
    assert paired.low == paired.high == 1
    assert separate.low < 0.95 < 1.05 < separate.high


def test_the_99th_percentile_is_of_500_samples_or_more() -> None:
    times = [float(number) for number in range(1, 501)]
    assert stats.p99(times[1:]) is None
    assert stats.p99(times) == pytest.approx(495.01)


def test_the_block_of_each_round_is_that_of_its_samples() -> None:
    assert stats.round_blocks([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]) == [0, 0, 1]


def test_a_quotient_is_as_uncertain_as_both_its_figures() -> None:
    sure, unsure = stats.Interval(8.0, 8.0, 8.0), stats.Interval(4.0, 2.0, 8.0)
    assert stats.quotient(sure, unsure) == stats.Interval(2.0, 1.0, 4.0)
    assert stats.quotient(unsure, sure) == stats.Interval(0.5, 0.25, 1.0)
    both = stats.quotient(unsure, unsure)
    assert both.value == 1.0
    assert both.low == pytest.approx(2 ** -(2**0.5))
    assert both.high == pytest.approx(2 ** (2**0.5))


def rounds_of(
    baseline_factor: float = 1.0, rounds: int = 40, each: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return samples of two models of shape (rounds, 2 * each), and the round of each sample."""
    generator = np.random.default_rng(seed)
    candidate = 4 * generator.lognormal(sigma=0.01, size=(rounds, 2 * each))
    baseline = 4 * baseline_factor * generator.lognormal(sigma=0.01, size=(rounds, 2 * each))
    return baseline, candidate, [number for number in range(rounds) for _ in range(2 * each)]


def over_rounds(
    baseline: np.ndarray, candidate: np.ndarray, rounds: list[int], blocks: int = 5
) -> stats.RoundRatio:
    logs = stats.round_log_ratios(baseline.ravel().tolist(), candidate.ravel().tolist(), rounds)
    return stats.ratio_over_rounds(logs, [n * blocks // len(logs) for n in range(len(logs))])


def test_vectors_for_other_languages_are_what_this_one_computes() -> None:
    written = json.loads(statistics_vectors.PATH.read_text())
    computed = statistics_vectors.vectors()
    assert written["t_quantiles"] == pytest.approx(computed["t_quantiles"], rel=1e-12)
    for was, now in zip(written["measurements"], computed["measurements"], strict=True):
        assert was.keys() == now.keys()
        for key, value in now.items():
            assert was[key] == (value if isinstance(value, str) else pytest.approx(value)), key


def test_quantiles_of_students_t_are_those_of_scipy() -> None:
    exact = pytest.importorskip("scipy.stats").t
    for freedom in range(1, 300):
        assert t_quantile(freedom) == pytest.approx(exact.ppf(0.975, freedom), rel=1.1e-4)


def test_without_trimming_the_interval_is_students() -> None:
    logs = [0.1, 0.3, 0.2, 0.4]  # four rounds: a fifth of them is less than one
    found = stats.ratio_over_rounds(logs, [0] * 4).interval
    half = 3.182446305 * np.std(logs, ddof=1) / 2
    expected = [np.exp(0.25 + step) for step in (0, -half, half)]
    assert [found.value, found.low, found.high] == pytest.approx(expected)


@given(st.floats(0.2, 5), st.floats(0.1, 10))
def test_the_ratio_over_rounds_does_not_depend_on_the_unit_and_is_inverted_by_exchange(
    factor: float, unit: float
) -> None:
    baseline, candidate, rounds = rounds_of(factor)
    there = over_rounds(unit * baseline, unit * candidate, rounds)
    back = over_rounds(candidate, baseline, rounds)
    assert there.interval.value == pytest.approx(factor, rel=0.01)
    assert there.interval.low == pytest.approx(1 / back.interval.high)
    assert there.interval.high == pytest.approx(1 / back.interval.low)
    assert there.half_width == pytest.approx(back.half_width)


def test_a_steady_change_of_speed_cancels_within_a_round() -> None:
    """Slots in the order A B B A, each 1 % slower than the one before it."""
    speed = 1.01 ** np.arange(4)
    candidate, baseline = 4 * speed[[0, 3]], 8 * speed[[1, 2]]
    (log,) = stats.round_log_ratios(baseline.tolist(), candidate.tolist(), [0, 0])
    assert np.exp(log) == pytest.approx(2.0)


def test_bursts_that_hit_one_model_move_the_ratio_little() -> None:
    baseline, candidate, rounds = rounds_of()
    undisturbed = over_rounds(baseline, candidate, rounds)
    candidate[3::8] *= 1.5  # an eighth of the rounds
    disturbed = over_rounds(baseline, candidate, rounds)
    assert disturbed.interval.value == pytest.approx(undisturbed.interval.value, rel=0.005)
    assert disturbed.half_width < 2 * undisturbed.half_width


def test_where_blocks_differ_the_interval_is_over_blocks() -> None:
    baseline, candidate, rounds = rounds_of()
    assert over_rounds(baseline, candidate, rounds).over == "rounds"
    baseline *= np.repeat([0.96, 1.0, 1.04, 0.98, 1.02], 8)[:, None]
    found = over_rounds(baseline, candidate, rounds)
    assert found.over == "blocks" and found.half_width > 0.03
    assert found.interval.spans(1.0)


def test_what_the_order_of_loading_changes_neither_moves_the_ratio_nor_widens_its_interval() -> (
    None
):
    baseline, candidate, rounds = rounds_of(rounds=42)
    undisturbed = over_rounds(baseline, candidate, rounds, blocks=6)
    first_is_slower = np.repeat([1.03, 1.0] * 3, 7)[:, None]
    found = over_rounds(baseline * first_is_slower, candidate, rounds, blocks=6)
    assert found.interval.value == pytest.approx(1.03**0.5 * undisturbed.interval.value, rel=1e-9)
    assert found.half_width == pytest.approx(undisturbed.half_width)


def test_the_halves_of_three_blocks_agree_though_the_order_of_loading_differs() -> None:
    """Two of the first half's blocks have the candidate loaded first, one of the second's."""
    generator = np.random.default_rng(0)
    blocks = np.repeat(range(6), 7).tolist()
    logs = generator.normal(0, 0.002, 42) + np.repeat([0.03, 0.0] * 3, 7)
    assert not stats.halves_disagree(logs.tolist(), blocks)


@pytest.mark.parametrize("block_spread", [0.0, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("shape", [(5, 8), (16, 4)])
def test_the_interval_covers_the_true_ratio(shape: tuple[int, int], block_spread: float) -> None:
    """Of 600 simulated measurements with bursts in a tenth of their rounds."""
    generator = np.random.default_rng(3)
    blocks = np.repeat(range(shape[0]), shape[1])
    covered = 0
    for _ in range(600):
        logs = generator.normal(0, block_spread, shape[0])[blocks]
        logs = logs + generator.normal(0, 0.01, blocks.size)
        logs += 0.17 * generator.choice([-1, 0, 1], blocks.size, p=[0.05, 0.9, 0.05])
        covered += stats.ratio_over_rounds(logs.tolist(), blocks.tolist()).interval.spans(1.0)
    assert covered / 600 >= 0.93


@pytest.mark.parametrize(("logs", "blocks"), [([0.1], [0]), ([], []), ([0.1, 0.2], [0])])
def test_too_few_rounds_have_no_interval(logs: list[float], blocks: list[int]) -> None:
    with pytest.raises(ValueError, match="no interval from"):
        stats.ratio_over_rounds(logs, blocks)


def test_a_round_needs_two_slots() -> None:
    with pytest.raises(ValueError, match="no two slots"):
        stats.round_log_ratios([1.0] * 3, [1.0] * 3, [0] * 3)
