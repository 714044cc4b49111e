"""The bundled sets, and an even share of any."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lolvit.errors import UserError
from lolvit_data import crops, digits
from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import even_share
from lolvit_data.table import open_dataset


@given(st.lists(st.integers(0, 6), min_size=1, max_size=200), st.integers(1, 60))
def test_an_even_share_takes_every_class_alike(labels: list[int], count: int) -> None:
    chosen = even_share(labels, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(labels))
    taken, there = Counter(labels[i] for i in chosen), Counter(labels)
    largest = max(taken.values())
    assert all(taken[label] >= min(largest - 1, there[label]) for label in there)


def test_an_even_share_is_spread_over_a_class_and_not_its_beginning() -> None:
    chosen = even_share([0] * 100, 4)
    assert min(chosen) < 25 and max(chosen) >= 75


def test_digits_split_every_class_four_to_one_and_share_no_image() -> None:
    train, test = digits.load("train"), digits.load("test")
    assert len(train.labels) + len(test.labels) == 1797
    for label in range(10):
        there = train.labels.count(label) + test.labels.count(label)
        assert test.labels.count(label) == there // 5
    assert train.images[0].size == (64, 64) and train.images[0].mode == "RGB"
    own = [np.asarray(image).tobytes() for image in train.images]
    shared = set(own) & {np.asarray(image).tobytes() for image in test.images}
    assert not shared


@pytest.mark.parametrize("name", crops.PHOTOS)
def test_training_and_test_crops_of_a_photo_share_no_pixel(name: str) -> None:
    size = bundled_photo(name).size
    train = crops.boxes(size, "train", crops.TRAIN_PER_CLASS, name)
    test = crops.boxes(size, "test", crops.TEST_PER_CLASS, name)
    assert max(right for _, _, right, _ in train) <= min(left for left, _, _, _ in test)
    for left, top, right, bottom in (*train, *test):
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
        assert right - left == bottom - top


def test_crops_are_the_same_every_time() -> None:
    first, again = crops.load("test"), crops.load("test")
    assert first.labels == again.labels
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first.images, again.images, strict=True))


def test_an_unknown_data_set_is_one_line() -> None:
    with pytest.raises(
        UserError,
        match=r"nowhere: no such data set; give digits, crops, fashion-mnist, .*, a folder",
    ):
        open_dataset("nowhere", "train")
