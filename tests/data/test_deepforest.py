"""Tiles of aerial photos with trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data import deepforest
from lolvit_data.annotated import open_annotated

TREE = (
    "<object><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel's photos in miniature: one of 700 x 500 pixels and one of one tile a split."""
    folder = tmp_path / "deepforest" / "data"
    folder.mkdir(parents=True)
    trees = "".join(TREE.format(*box) for box in ((390, 100, 430, 140), (10, 20, 40, 60)))
    for names in deepforest.PHOTOS.values():
        for name, size in zip(names, ((700, 500), (400, 400)), strict=True):
            Image.new("RGB", size).save(folder / f"{name}.png")
            (folder / f"{name}.xml").write_text(f"<annotation>{trees}</annotation>")
    monkeypatch.setenv(deepforest.VARIABLE, str(tmp_path))
    return folder


def test_tiles_cover_each_photo_and_have_the_trees_that_they_show(wheel: Path) -> None:
    found = open_annotated("deepforest", "test", "detection")
    assert isinstance(found, deepforest.TileDataset)
    assert found.places == ((0, 0, 0), (0, 300, 0), (0, 0, 100), (0, 300, 100), (1, 0, 0))
    assert found.image(3).size == (400, 400)
    # a quarter of the first tree is on the first tile, all of it on the second
    assert found.objects(0).boxes.tolist() == [[10, 20, 40, 60]]
    assert found.objects(1).boxes.tolist() == [[90, 100, 130, 140]]
    assert found.objects(3).boxes.tolist() == [[90, 0, 130, 40]]
    assert found.classes == ("tree",) and (found.objects(1).classes == 0).all()
    train = open_annotated("deepforest", "train", "detection")
    assert len(train) == 7  # they overlap
    assert not set(deepforest.PHOTOS["train"]) & set(deepforest.PHOTOS["test"])


def test_what_is_missing_or_broken_is_one_line(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="has no masks"):
        open_annotated("deepforest", "train", "segmentation")
    (wheel / f"{deepforest.PHOTOS['test'][1]}.xml").write_text("<annotation>")
    with pytest.raises(UserError, match="can't be read"):
        open_annotated("deepforest", "test", "detection")
    monkeypatch.setenv(deepforest.VARIABLE, str(wheel))
    with pytest.raises(UserError, match="pip download --no-deps deepforest"):
        open_annotated("deepforest", "train", "detection")


def test_boxes_on_the_edge_between_tiles_are_never_lost(wheel: Path) -> None:
    """Half of a tree at least is on one of two neighbours."""
    found = open_annotated("deepforest", "train", "detection")
    assert isinstance(found, deepforest.TileDataset)
    placed = [
        tuple(np.round(box + np.array([left, top, left, top])))
        for index, (photo, left, top) in enumerate(found.places)
        if photo == 0
        for box in found.objects(index).boxes
    ]
    assert (390, 100, 430, 140) in placed and (10, 20, 40, 60) in placed
