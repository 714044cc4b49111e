"""Logits upsampled to pixels, and the class of the largest at each, found without upsampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lolvit import upsampling
from lolvit.upsampling import upsample, upsampled_classes


def regions(classes: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth logits (C, h, w)."""
    return upsample(np.random.default_rng(0).normal(0, 3, (classes, 4, 6)), size)


@pytest.mark.parametrize("size", [(64, 96), (8, 12), (100, 33), (5, 7)])
def test_upsampling_is_torchs_with_half_pixel_centres(size: tuple[int, int]) -> None:
    logits = regions(6, (8, 12))
    expected = F.interpolate(
        torch.from_numpy(logits)[None], size, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(upsample(logits, size), expected[0].numpy(), atol=2e-6)


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 7), st.integers(1, 9), st.integers(1, 9)),
    scale=st.sampled_from([1, 2, 3, 8, 32, None]),
    other=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    levels=st.sampled_from([2, 9, 10_000]),  # few: many ties
    repeated=st.sampled_from([1, 4]),  # regions of one value
    magnitude=st.sampled_from([1e-20, 1.0, 1e20]),
)
@example(0, (7, 9, 9), 8, (1, 1), 10_000, 1, 1.0)
@example(0, (7, 9, 9), 8, (1, 1), 2, 4, 1.0)
def test_classes_are_those_of_the_upsampled_logits(
    seed: int, shape: tuple[int, int, int], scale: int | None, other: tuple[int, int], levels: int,
    repeated: int, magnitude: float,
) -> None:  # fmt: skip
    draw = np.random.default_rng(seed)
    logits = draw.integers(-levels, levels, shape).astype(np.float32) * np.float32(magnitude)
    logits = logits.repeat(repeated, 1).repeat(repeated, 2)
    size = (logits.shape[1] * scale, logits.shape[2] * scale) if scale else other
    expected = upsample(logits, size).argmax(0)
    np.testing.assert_array_equal(upsampled_classes(logits, size), expected)


def test_the_most_classes_that_there_can_be_are_told_apart() -> None:
    logits = np.random.default_rng(0).normal(0, 1e-7, (255, 4, 6)).astype(np.float32)
    expected = upsample(logits, (32, 48)).argmax(0)
    assert expected.max() > 240
    np.testing.assert_array_equal(upsampled_classes(logits, (32, 48)), expected)
    same = np.ones((255, 4, 6))
    assert not upsampled_classes(same, (32, 48)).any()


def test_most_of_a_map_of_regions_is_not_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    interpolated = []

    def counting(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
        value = first + (second - first) * share
        interpolated.append(value.size)
        return value

    logits = regions(19, (48, 80))
    monkeypatch.setattr(upsampling, "_between", counting)
    upsampled_classes(logits, (384, 640))
    assert 0 < sum(interpolated) < 0.05 * 19 * 384 * 640
