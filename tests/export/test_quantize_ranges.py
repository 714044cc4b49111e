"""Ranges of activations: each method keeps what it says it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from lolvit_export.quantization.plan import Method
from lolvit_export.quantization.ranges import BINS, Histogram, Values, fit_range, histogram_counts


def histogram(values: Values) -> Histogram:
    low, high = float(values.min()), float(values.max())
    return Histogram(low, high, histogram_counts(values, (low, high)))


def normal(count: int = 100_000) -> Values:
    return np.random.default_rng(0).normal(size=count).astype(np.float32)


def with_outliers() -> Values:
    return np.concatenate([normal(), np.full(2, 60, np.float32), np.full(2, -60, np.float32)])


def squared_error(values: Values, limits: tuple[float, float]) -> float:
    low, high = limits
    step = (high - low) / 255
    rounded = np.rint(np.clip(values, low, high) / step) * step
    return float(np.square(rounded - values).mean())


def test_all_values_are_counted_once() -> None:
    values = normal()
    assert histogram(values).counts.sum() == values.size
    # A value at the border of two bins may be rounded into either.
    assert np.abs(histogram(values).counts - np.histogram(values, BINS)[0]).sum() < 20


def test_minmax_is_all_that_was_seen() -> None:
    values = with_outliers()
    assert fit_range(histogram(values), "minmax") == (values.min(), values.max())


def test_percentile_holds_its_share_and_little_more() -> None:
    values = with_outliers()
    low, high = fit_range(histogram(values), "percentile", 99.0)
    inside = ((values >= low) & (values <= high)).mean()
    assert 0.99 <= inside <= 0.994


def test_percentile_100_is_minmax() -> None:
    limits = fit_range(histogram(with_outliers()), "percentile", 100.0)
    assert limits == pytest.approx((-60, 60))


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_outliers_are_given_up_for_finer_steps(method: Method) -> None:
    low, high = fit_range(histogram(with_outliers()), method)
    assert -15 < low < -2 and 2 < high < 15


def test_the_squared_error_is_the_least_of_all_methods() -> None:
    values = with_outliers()
    errors = {
        method: squared_error(values, fit_range(histogram(values), method))
        for method in ("minmax", "percentile", "mse", "entropy")
    }
    assert min(errors, key=errors.__getitem__) == "mse"
    assert errors["mse"] < 0.9 * errors["minmax"]


@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_the_zeros_of_a_relu_do_not_outweigh_what_is_left(method: Method) -> None:
    values = np.maximum(normal(), 0)
    many_zeros = np.concatenate([values, np.zeros(10 * values.size, np.float32)])
    alone = fit_range(histogram(values), method)[1]
    assert fit_range(histogram(many_zeros), method)[1] == pytest.approx(alone, rel=0.05)
    assert alone > 2.5


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse", "entropy"])
def test_a_constant_has_its_own_value_as_range(method: Method) -> None:
    assert fit_range(histogram(np.full(9, 3, np.float32)), method) == (3, 3)


def test_finer_grids_give_up_less() -> None:
    values = histogram(with_outliers())
    assert fit_range(values, "mse", levels=65536) == fit_range(values, "minmax")
    assert fit_range(values, "mse", levels=256)[1] < 0.95 * fit_range(values, "minmax")[1]
