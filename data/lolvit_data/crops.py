"""Small crops of photos that scikit-image carries, each photo a class: training crops come from
its left half, test crops from its right half, so that no pixel is in both. What the right half
shows is seldom what the left half does: texture, colour and scale have to carry over."""

from __future__ import annotations

import random

from PIL import Image

from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import InMemory, Split

# The ones with free licences (docs/photos.md).
PHOTOS = (
    "astronaut",
    "brick",
    "camera",
    "cat",
    "cell",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)
TRAIN_PER_CLASS, TEST_PER_CLASS = 96, 32
SIDE = 96  # pixels that each crop is scaled to
Box = tuple[int, int, int, int]
_SMALLEST, _LARGEST = 48, 144  # pixels: sides of the squares that are cut out


def load(split: Split) -> InMemory:
    """Return the crops of a split, (96, 96) pixels; the same ones every time.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    count = TRAIN_PER_CLASS if split == "train" else TEST_PER_CLASS
    images = [crop for name in PHOTOS for crop in _crops(name, split, count)]
    labels = [label for label in range(len(PHOTOS)) for _ in range(count)]
    return InMemory("crops", PHOTOS, tuple(labels), tuple(images))


def boxes(size: tuple[int, int], split: Split, count: int, seed: str) -> list[Box]:
    """Return squares (left, top, right, bottom) in the split's half of a photo of `size` (width,
    height)."""
    width, height = size
    start, end = (0, width // 2) if split == "train" else (width // 2, width)
    draw = random.Random(f"{seed} {split}")
    found = []
    for _ in range(count):
        side = draw.randint(_SMALLEST, min(_LARGEST, end - start, height))
        left, top = draw.randint(start, end - side), draw.randint(0, height - side)
        found.append((left, top, left + side, top + side))
    return found


def _crops(name: str, split: Split, count: int) -> list[Image.Image]:
    photo = bundled_photo(name)
    return [
        photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
        for box in boxes(photo.size, split, count, name)
    ]
