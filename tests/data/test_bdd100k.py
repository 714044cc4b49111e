"""BDD100K's masks, with the traps that they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.annotated import open_annotated
from lolvit_data.masked_photos import MaskedPhotos

Change = Callable[[dict[str, Any]], object]


def bdd(root: Path, kind: str = "sem_seg", classes: int = 19) -> Path:
    """Three images, of which one has no mask, and a mask without an image."""
    images = {"sem_seg": "10k", "drivable": "100k"}[kind]
    for part in ("train", "val"):
        photos = root / "images" / images / part
        masks = root / "labels" / kind / "masks" / part
        for folder in (photos, masks):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("a", "b", "alone"):
            Image.new("RGB", (16, 9)).save(photos / f"{name}.jpg")
        mask = np.arange(144, dtype=np.uint8).reshape(9, 16) % classes
        mask[0] = 255
        for name in ("a", "b", "orphan"):
            Image.fromarray(mask).save(masks / f"{name}.png")
    return root


def test_images_and_masks_are_paired_by_name_and_orphans_counted(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "test", "segmentation")
    assert [found.identifier(i) for i in range(len(found))] == ["a", "b"]
    assert found.notes == ("1 images have no mask, left out", "1 masks have no image, left out")
    assert len(found.classes) == 19 and found.classes[13] == "car"
    assert found.colors is not None and found.colors[13] == "#00008e"
    mask = found.mask(0)
    assert (mask[0] == 255).all() and mask[1, 0] == 16


def test_the_drivable_classes_are_those_of_its_masks(tmp_path: Path) -> None:
    bdd(bdd(tmp_path), "drivable", 3)
    with pytest.raises(UserError, match="sem_seg and drivable"):
        open_annotated(str(tmp_path), "train", "segmentation")
    found = open_annotated(f"{tmp_path}#drivable", "train", "segmentation")
    assert found.classes == ("direct", "alternative", "background")
    assert set(np.unique(found.mask(0))) == {0, 1, 2, 255}


def test_a_colour_map_or_an_unknown_class_in_place_of_a_mask_is_named(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "train", "segmentation")
    assert isinstance(found, MaskedPhotos)
    Image.new("RGB", (16, 9), "#804080").save(found.pairs[0][1])
    with pytest.raises(UserError, match="not of class numbers"):
        found.mask(0)
    Image.fromarray(np.full((9, 16), 19, np.uint8)).save(found.pairs[1][1])
    with pytest.raises(UserError, match="has the class 19"):
        found.mask(1)


def test_a_mask_of_another_size_than_its_image_is_named(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "train", "segmentation")
    assert isinstance(found, MaskedPhotos)
    Image.fromarray(np.zeros((16, 9), np.uint8)).save(found.pairs[0][1])
    with pytest.raises(UserError, match="has 9x16 pixels, its image 16x9"):
        found.mask(0)


def test_the_classes_of_a_mask_with_a_palette_are_its_indices(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "train", "segmentation")
    assert isinstance(found, MaskedPhotos)
    indices = (np.arange(144, dtype=np.uint8) % 19).reshape(9, 16)
    coloured = Image.fromarray(indices)
    coloured.putpalette([grey for grey in range(255, -1, -1) for _ in range(3)])
    coloured.save(found.pairs[0][1])
    with Image.open(found.pairs[0][1]) as opened:
        assert opened.mode == "P"
    assert (found.mask(0) == indices).all()
