"""Folders of images: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.table import open_dataset
from tests.data.images import write_folder


def test_classes_are_the_folders_in_their_order(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_folder(tmp_path / "d")), "train")
    assert dataset.classes == ("0", "1", "2")
    assert len(dataset.labels) == 48 and set(dataset.labels) == {0, 1, 2}
    assert dataset.image(0).mode == "RGB"


def test_imagenets_name_of_the_test_split_is_known(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "test").rename(root / "val")
    assert len(open_dataset(str(root), "test").labels) == 18


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "train" / "nothing").mkdir()
    with pytest.raises(UserError, match="class folders without an image: nothing"):
        open_dataset(str(root), "train")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", classes=("7",))
    with pytest.raises(UserError, match="holds 1 class folders; give at least two"):
        open_dataset(str(root), "train")


def test_a_folder_without_the_split_names_the_expected_layout(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    with pytest.raises(UserError, match="has no folder test or val"):
        open_dataset(str(root / "train"), "test")


def test_a_truncated_jpeg_is_named_when_it_is_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole)
    broken = root / "train" / "0" / "0000.jpg"
    broken.write_bytes(whole.read_bytes()[:300])
    dataset = open_dataset(str(root), "train")
    with pytest.raises(UserError, match=r"0000\.jpg: "):
        for index in range(len(dataset.labels)):
            dataset.image(index)


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "P", "LA"])
def test_images_of_any_pixel_format_become_rgb(tmp_path: Path, mode: str) -> None:
    root = write_folder(tmp_path / "d")
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    if mode == "I;16":
        image = Image.fromarray(grey)
    else:
        image = Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB").convert(mode)
    path = root / "train" / "0" / f"0000{'.jpg' if mode == 'CMYK' else '.png'}"
    image.save(path)
    dataset = open_dataset(str(root), "train")
    read = np.asarray(dataset.image(0))
    assert read.shape == (64, 64, 3)
    assert (
        abs(
            float(read.mean())
            - float((grey / 257).mean() if mode == "I;16" else (grey >> 8).mean())
        )
        < 3
    )
