"""Handwritten digits, 8 x 8 pixels, that scikit-learn's wheel carries (UCI, CC BY 4.0): 1,797
images of ten classes, four fifths of them to train on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit_data.dataset import InMemory, Split

SIDE = 64  # pixels: upscaled once, smoothly; a model's preprocessing scales further
_WHITE = 16  # the largest level in the set
_TEST_EVERY = 5


def load(split: Split) -> InMemory:
    """Return the digits of a split, bright strokes on black, (64, 64) pixels.

    Of each class every fifth image is a test image. Both splits hold all writers: the set does not
    tell them apart.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels: npt.NDArray[np.int64] = digits.target
    chosen = [i for i, test in enumerate(_test_mask(labels)) if test == (split == "test")]
    return InMemory(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        labels=tuple(int(labels[i]) for i in chosen),
        images=tuple(_upscaled(digits.images[i]) for i in chosen),
    )


def _test_mask(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return mask


def _upscaled(levels: npt.NDArray[np.float64]) -> Image.Image:
    grey = Image.fromarray(np.rint(levels * (255 / _WHITE)).astype(np.uint8))
    return grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")
