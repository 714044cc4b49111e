"""Trees on aerial photos: the 951 boxes that the package deepforest (MIT) carries for four photos
of the National Ecological Observatory Network, cut into tiles. Training and test tiles are of
different photos.

The package itself, which brings torch-lightning and more, need not be installed: its wheel is
unpacked.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data.annotations import Objects, WithoutMasks
from lolvit_data.dataset import Split
from lolvit_runtimes.photos import load_photo

NAME: Final = "deepforest"
VARIABLE = "LOLVIT_DEEPFOREST"  # the folder that the wheel was unpacked to
PHOTOS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("2019_YELL_2_528000_4978000_image_crop2", "SOAP_061"),
    "test": ("2019_YELL_2_541000_4977000_image_crop", "OSBS_029"),
}
TILE = 400  # pixels
_STEPS: Final[dict[Split, int]] = {"train": 200, "test": 400}  # training tiles overlap by half
_VISIBLE = 0.5  # a tree of which less is on a tile is left out


@dataclass(frozen=True, eq=False)
class TileDataset(WithoutMasks):
    """Tiles of photos: `places` are each one's photo, left and top."""

    photos: tuple[Image.Image, ...] = field(repr=False)
    boxes: tuple[npt.NDArray[np.float64], ...] = field(repr=False)
    places: tuple[tuple[int, int, int], ...] = field(repr=False)
    name: str = NAME
    classes: tuple[str, ...] = ("tree",)
    colors: None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    def identifier(self, index: int) -> str:
        """Return the tile's number."""
        return f"{index:05}"

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return a tile as 8-bit RGB, or in another `color`."""
        photo, left, top = self.places[index]
        return self.photos[photo].crop((left, top, left + TILE, top + TILE)).convert(color)

    def objects(self, index: int) -> Objects:
        """Return the trees of which at least half is on a tile, clipped to it."""
        photo, left, top = self.places[index]
        whole = self.boxes[photo] - np.array([left, top, left, top])
        clipped = np.clip(whole, 0, TILE)
        kept = _areas(clipped) >= _VISIBLE * _areas(whole)
        return Objects.of(clipped[kept], np.zeros(int(kept.sum()), np.int64))


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: npt.NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas


def load(split: Split) -> TileDataset:
    """Return the tiles of a split.

    Raises:
        UserError: the package's files are neither installed nor unpacked, or can't be read.
    """
    return _load(_folder(), split)


@cache
def _load(folder: Path, split: Split) -> TileDataset:
    photos, boxes, places = [], [], []
    for number, name in enumerate(PHOTOS[split]):
        photo = load_photo(folder / f"{name}.png")
        photos.append(photo)
        boxes.append(_boxes(folder / f"{name}.xml"))
        places += [
            (number, left, top)
            for top in _starts(photo.height, _STEPS[split])
            for left in _starts(photo.width, _STEPS[split])
        ]
    return TileDataset(tuple(photos), tuple(boxes), tuple(places))


def _starts(extent: int, step: int) -> list[int]:
    """Return where tiles start along one side: the last one ends with the photo."""
    return [*range(0, extent - TILE, step), extent - TILE]


def _boxes(path: Path) -> npt.NDArray[np.float64]:
    """Return the boxes (N, 4) of a file in PASCAL VOC's format."""
    try:
        found = [
            [
                float(tree.findtext(f"bndbox/{side}", ""))
                for side in ("xmin", "ymin", "xmax", "ymax")
            ]
            for tree in ElementTree.parse(path).getroot().iter("object")
        ]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(
            f"can't be read: {error}", where=str(path), remedy="download it again"
        ) from error
    return np.array(found, np.float64).reshape(-1, 4)


def _folder() -> Path:
    given = os.environ.get(VARIABLE)
    if given is not None:
        folder = Path(given) / NAME / "data"
    else:
        spec = importlib.util.find_spec(NAME)
        places = spec.submodule_search_locations if spec is not None else None
        folder = Path(next(iter(places or [NAME]))) / "data"
    if not (folder / f"{PHOTOS['train'][0]}.png").is_file():
        raise UserError(
            "the photos of deepforest are not there", where=str(folder),
            remedy="run: pip download --no-deps deepforest, unpack the wheel (unzip), and set"
            f" {VARIABLE} to that folder",
        )  # fmt: skip
    return folder
