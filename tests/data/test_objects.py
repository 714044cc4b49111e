"""Cut-outs over photos: exact boxes and masks, and no picture in both splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data import objects
from lolvit_data.annotated import open_annotated
from lolvit_data.objects import CutoutDataset, SingleObjects
from lolvit_data.table import open_dataset


def opened(split: str, task: str, source: str = "digit-objects") -> CutoutDataset:
    found = open_annotated(source, split, task)  # type: ignore[arg-type]
    assert isinstance(found, CutoutDataset)
    return found


def test_boxes_are_those_of_the_mask() -> None:
    boxes, masks = opened("train", "detection"), opened("train", "segmentation")
    assert masks.classes == ("background", *boxes.classes)
    for index in range(12):
        found, mask = boxes.objects(index), masks.mask(index)
        assert mask.shape == (boxes.image(index).height, boxes.image(index).width)
        for box, label, area in zip(found.boxes, found.classes, found.areas, strict=True):
            left, top, right, bottom = box.astype(int)
            inside = mask[top:bottom, left:right] == label + 1
            assert inside.any(0)[[0, -1]].all() and inside.any(1)[[0, -1]].all()
            assert 0 < area <= inside.sum()
        covered = np.isin(mask, [0, 255])
        for left, top, right, bottom in found.boxes.astype(int):
            covered[top:bottom, left:right] = True
        assert covered.all()  # no labelled pixel lies outside of all boxes


def test_an_image_is_the_same_every_time_and_differs_from_the_next() -> None:
    first, again = opened("test", "detection"), opened("test", "detection")
    assert first.image(3).tobytes() == again.image(3).tobytes()
    assert first.image(3).tobytes() != first.image(4).tobytes()
    assert first.objects(3).boxes.tolist() == again.objects(3).boxes.tolist()


def test_splits_share_neither_objects_nor_backgrounds() -> None:
    train, test = opened("train", "detection"), opened("test", "detection")
    assert not {c.pixels.tobytes() for c in train.cutouts} & {
        c.pixels.tobytes() for c in test.cutouts
    }
    photos = [{photo.tobytes() for photo in each.backgrounds} for each in (train, test)]
    assert all(photos) and not photos[0] & photos[1]


def test_every_digit_stands_out_from_its_outline() -> None:
    """By its brightness, so that it is legible on a background of its own colour."""
    for cutout in opened("test", "detection").cutouts:
        opaque = cutout.pixels[cutout.pixels[..., 3] >= 128][:, :3] @ [0.299, 0.587, 0.114]
        assert np.ptp(opaque) > 110


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures as the Debian package has them: discs, and what is left out."""
    disc = np.zeros((60, 80, 4), np.uint8)
    y, x = np.mgrid[:60, :80]
    disc[(x - 40) ** 2 + (y - 30) ** 2 < 400] = 255
    for number, folders in enumerate(objects.CLASSES.values()):
        for place in range(4):
            path = tmp_path / folders[0] / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            disc[..., :3] = 20 * number
            Image.fromarray(disc).save(path)
    for name in ("animals/birds/cartoon/robin.png", "symbols/money/00_symbols/cent.png",
                 "vehicles/0_mirror.png", "vehicles/7spoke256.png"):  # fmt: skip
        left_out = tmp_path / name
        left_out.parent.mkdir(exist_ok=True)
        left_out.write_bytes(b"is never opened")
    monkeypatch.setenv(objects.STAMPS_VARIABLE, str(tmp_path))
    objects._stamps.cache_clear()
    return tmp_path


def test_stamps_are_cut_out_and_every_fourth_is_of_the_test_split(stamps: Path) -> None:
    train, test = opened("train", "detection", "objects"), opened("test", "detection", "objects")
    assert train.classes == tuple(objects.CLASSES)
    assert (len(train.cutouts), len(test.cutouts)) == (24, 8)
    assert {cutout.pixels.shape for cutout in test.cutouts} == {(39, 39, 4)}


def test_as_classes_each_image_has_one_object_of_its_class_and_of_its_split() -> None:
    train, test = (open_dataset("digit-objects", split) for split in ("train", "test"))
    assert isinstance(train, SingleObjects) and isinstance(test, SingleObjects)
    assert train.classes == tuple("0123456789")
    assert (len(train.labels), len(test.labels)) == (4000, 400)
    assert {test.labels.count(label) for label in range(10)} == {40}
    assert train.image(3).size == (128, 128)
    assert train.image(3).tobytes() == open_dataset("digit-objects", "train").image(3).tobytes()
    assert train.image(3).tobytes() != train.image(13).tobytes()
    own = {cutout.pixels.tobytes() for cutout in train.cutouts}
    assert not own & {cutout.pixels.tobytes() for cutout in test.cutouts}


def test_as_classes_the_pictures_of_a_class_take_turns(stamps: Path) -> None:
    test = open_dataset("objects", "test")
    assert test.classes == tuple(objects.CLASSES) and test.labels[:9] == (*range(8), 0)
    for index, label in enumerate(test.labels[:8]):  # the disc of class n has the grey level 20 n
        middle = np.asarray(test.image(index)).reshape(-1, 3)
        assert (middle == 20 * label).all(axis=1).sum() > 1500


def test_without_the_stamps_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(objects.STAMPS_VARIABLE, str(tmp_path / "absent"))
    objects._stamps.cache_clear()
    with pytest.raises(UserError, match="tuxpaint-stamps-default"):
        open_annotated("objects", "train", "detection")
