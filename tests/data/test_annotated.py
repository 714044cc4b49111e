"""Folders of images and masks, and what is no data set with boxes or masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.annotated import annotated_images, open_annotated
from lolvit_data.dataset import Split

Change = Callable[[dict[str, Any]], object]


def masked(root: Path, by_split: bool, names: str | None = "ground\nroad\n") -> Path:
    """A photo on its side and one in a folder below, each with a mask of two classes."""
    for part in ("train", "val"):
        images, masks = (
            root / (f"{part}/{kind}" if by_split else f"{kind}/{part}")
            for kind in ("images", "masks")
        )
        mask = np.zeros((16, 9), np.uint8)
        mask[4:] = 1
        mask[0] = 255
        exif = Image.Exif()
        exif[0x0112] = 6
        for name in ("a", "b/a"):
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            (masks / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 9)).save(images / f"{name}.jpeg", exif=exif)
            Image.fromarray(mask).save(masks / f"{name}.png")
    if names is not None:
        (root / "classes.txt").write_text(names)
    return root


def test_masks_that_are_not_split_are_divided(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(6):
        Image.new("RGB", (16, 9)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(np.eye(9, 16, dtype=np.uint8)).save(tmp_path / "masks" / f"{number}.png")
    (tmp_path / "classes.txt").write_text("ground\nroad\n")
    found = open_annotated(str(tmp_path), "test", "segmentation")
    assert [found.identifier(i) for i in range(len(found))] == ["4"]
    assert len(open_annotated(str(tmp_path), "train", "segmentation")) == 5


@pytest.mark.parametrize("by_split", [True, False])
@pytest.mark.parametrize("split", ["train", "test"])
def test_folders_of_images_and_masks_are_paired_by_their_paths(
    tmp_path: Path, by_split: bool, split: Split
) -> None:
    found = open_annotated(str(masked(tmp_path, by_split)), split, "segmentation")
    assert found.classes == ("ground", "road") and found.notes == ()
    assert [found.identifier(i) for i in range(len(found))] == ["a", "b/a"]
    for index in range(2):
        assert found.image(index).size == found.mask(index).shape[::-1] == (9, 16)
        assert np.unique(found.mask(index)).tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("names", "message"),
    [(None, "no data set for segmentation.* classes.txt"), ("road\n", "has 1 classes")],
)
def test_classes_of_masks_need_names(tmp_path: Path, names: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_annotated(str(masked(tmp_path, True, names)), "train", "segmentation")


def test_images_and_masks_without_names_are_photos_to_calibrate_with(tmp_path: Path) -> None:
    assert annotated_images(str(masked(tmp_path, True, None)), "train") is None


def test_black_and_white_masks_and_those_of_other_names_are_one_line(tmp_path: Path) -> None:
    masked(tmp_path, by_split=False)
    masks = sorted((tmp_path / "masks" / "train").rglob("*.png"))
    white = np.zeros((16, 9), np.uint8)
    white[4:] = 255
    for path in masks:
        Image.fromarray(white).save(path)
    with pytest.raises(UserError, match=r"the values 0 and 255 alone.* 1 in place of 255"):
        open_annotated(str(tmp_path), "train", "segmentation")
    for path in masks:
        path.rename(path.with_stem(f"{path.stem}-1"))
    with pytest.raises(UserError, match=r"2 PNG masks, such as a\.jpeg and a-1\.png"):
        open_annotated(str(tmp_path), "train", "segmentation")
    for path in masks:
        path.with_stem(f"{path.stem}-1").unlink()
    with pytest.raises(UserError, match=r"0 PNG masks, such as a\.jpeg"):
        open_annotated(str(tmp_path), "train", "segmentation")


@pytest.mark.parametrize(
    ("source", "task", "message"),
    [
        ("nowhere", "detection", "no such data set"),
        (".", "detection", "is no data set for detection"),
        (".", "segmentation", "is no data set for segmentation"),
    ],
)
def test_what_is_no_data_set_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, task: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        open_annotated(source, "train", task)
