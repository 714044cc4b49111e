"""Fashion-MNIST's files: read as they are; damaged ones are one line each, at a bounded cost."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit_data import digits, fashion_mnist
from lolvit_data.fashion_mnist import read_idx
from lolvit_data.table import open_dataset

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def idx(values: np.ndarray, *, kind: int = 8, shape: tuple[int, ...] | None = None) -> bytes:
    """Return an array in the IDX format; `shape`: another one than its own in the header."""
    extents = values.shape if shape is None else shape
    header = bytes((0, 0, kind, len(extents))) + np.array(extents, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the package has it, with 30 digits as 28 x 28 pixels."""
    found = digits.load("test")
    photos = np.stack([np.asarray(found.image(i, "L").resize((28, 28))) for i in range(30)])
    (tmp_path / IMAGES).write_bytes(gzip.compress(idx(photos)))
    (tmp_path / LABELS).write_bytes(gzip.compress(idx(np.array(found.labels[:30]))))
    monkeypatch.setenv(fashion_mnist.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_photos_and_labels_are_those_of_the_files(package: Path) -> None:
    dataset = open_dataset("fashion-mnist", "test")
    expected = digits.load("test")
    assert len(dataset.classes) == 10 and dataset.labels == expected.labels[:30]
    image = dataset.image(7)
    assert image.mode == "RGB" and image.size == (28, 28)
    assert image.getchannel("G").tobytes() == expected.image(7, "L").resize((28, 28)).tobytes()


def test_without_the_package_the_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(fashion_mnist.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(UserError) as caught:
        open_dataset("fashion-mnist", "train")
    line = caught.value.line()
    assert "apt-get download dataset-fashion-mnist" in line and "LOLVIT_FASHION_MNIST" in line
    assert str(tmp_path) in line


PHOTOS = np.zeros((30, 28, 28))
DAMAGED = {
    "truncated stream": (IMAGES, gzip.compress(idx(PHOTOS))[:-20], "can't be decompressed"),
    "no gzip": (IMAGES, idx(PHOTOS), "can't be decompressed"),
    "damaged stream": (IMAGES, gzip.compress(b"x")[:10] + b"\xff" * 60, "can't be decompressed"),
    "empty": (IMAGES, b"", "no array of bytes"),
    "pickle": (IMAGES, gzip.compress(b"\x80\x04\x95" + b"c" * 999), "no array of bytes"),
    "other type": (IMAGES, gzip.compress(idx(PHOTOS, kind=13)), "no array of bytes"),
    "other dimensions": (IMAGES, gzip.compress(idx(PHOTOS[0])), "with 3 dimensions"),
    "header alone": (IMAGES, gzip.compress(bytes((0, 0, 8, 3)) + b"\0\0"), "header is truncated"),
    "fewer values": (IMAGES, gzip.compress(idx(PHOTOS)[:-1]), "23,520 values, and it has 23,519"),
    "more values": (IMAGES, gzip.compress(idx(PHOTOS) + b"\0"), "and it has more"),
    "impossible extents": (
        IMAGES, gzip.compress(idx(PHOTOS, shape=(2**32 - 1, 2**32 - 1, 28))), "announces",
    ),
    "other size of photos": (IMAGES, gzip.compress(idx(PHOTOS[:, 1:])), r"\(30, 27, 28\)"),
    "no photos": (IMAGES, gzip.compress(idx(PHOTOS[:0])), r"\(0, 28, 28\)"),
    "too few labels": (LABELS, gzip.compress(idx(np.zeros(29))), "29 labels for 30 photos"),
    "unknown class": (LABELS, gzip.compress(idx(np.full(30, 10))), "label 10, of 10 classes"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_line(case: str, package: Path) -> None:
    name, content, words = DAMAGED[case]
    (package / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: is damaged: .*{words}"):
        fashion_mnist.load("test")


def test_no_more_is_decompressed_than_the_header_announces(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((2, 28, 28))) + bytes(40_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="has more than 1,568"):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
