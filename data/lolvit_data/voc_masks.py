"""Masks in Pascal VOC's layout, as CVAT and labelme's converter write them too: JPEGImages/NAME.jpg
with SegmentationClass/NAME.png, and ImageSets/Segmentation/{train,val}.txt, which list names.

labelmap.txt has the classes' names and colours (CVAT), or class_names.txt their names in the order
of their numbers (labelme); without either they are VOC's, whose masks have a palette: its indices
are the numbers, and 255 is the border between objects, which has no class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lolvit.errors import UserError
from lolvit.text import read_lines
from lolvit_data.annotations import IGNORE, NOT_A_CLASS
from lolvit_data.dataset import Split
from lolvit_data.masked_photos import (
    MaskedPhotos,
    Values,
    check_number_of_classes,
    paired,
)
from lolvit_data.voc import IMAGES, Place, place_in_lists

_MASKS: Final = ("SegmentationClass", "SegmentationClassPNG")
_COLORS: Final = "labelmap.txt"
_NAMES: Final = ("class_names.txt", "classes.txt", "labels.txt")
_BORDER: Final = 0xE0E0C0
_VOC_CLASSES: Final = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip


def is_voc_masks(root: Path) -> bool:
    """Whether a folder has images and masks as VOC has them."""
    return _place(root, "train") is not None


def has_test(root: Path) -> bool:
    """Whether there is a list of a test split."""
    return _place(root, "test") is not None


def load(root: Path, split: Split) -> MaskedPhotos:
    """Pair the images and masks of a split; none is opened.

    Raises:
        UserError: there is no such split, no image has a mask, or the classes can't be read.
    """
    place = _place(root, split)
    if place is None:
        raise UserError(f"has no list of the {split} split", where=str(root),
                        remedy="add ImageSets/Segmentation/train.txt and val.txt")  # fmt: skip
    classes = _classes(root)
    names = place.listed([path.stem for path in place.annotations.glob("*.png")])
    return paired(
        root.name, place.images, place.annotations, classes.names, classes.colors,
        names={*names}, values=classes.values,
    )  # fmt: skip


def _place(root: Path, split: Split) -> Place | None:
    masks = next((name for name in _MASKS if any((root / name).glob("*.png"))), None)
    if masks is None or not (root / IMAGES).is_dir():
        return None
    whole = Place(root / IMAGES, root / masks)
    return place_in_lists(whole, root / "ImageSets" / "Segmentation", split)


@dataclass(frozen=True)
class _Classes:
    names: tuple[str, ...]
    colors: tuple[str, ...] | None = None
    values: Values | None = None


def _classes(root: Path) -> _Classes:
    path = next((root / name for name in (_COLORS, *_NAMES) if (root / name).is_file()), None)
    if path is None:
        return _Classes(_VOC_CLASSES)
    lines = [line.strip() for line in read_lines(path, "classes")]
    lines = [line for line in lines if line and not line.startswith("#") and line != NOT_A_CLASS]
    colored = path.name == _COLORS and any(":" in line for line in lines)
    found = _with_colors(path, lines) if colored else _Classes(tuple(lines))
    check_number_of_classes(found.names, path)
    return found


def _with_colors(path: Path, lines: Sequence[str]) -> _Classes:
    """Return the classes of lines as `cat:128,0,0::`."""
    names, colors = [], []
    for line in lines:
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(value) for value in rest.split(":")[0].split(","))
            if not (name and all(0 <= value <= 255 for value in (red, green, blue))):
                raise ValueError
        except ValueError as error:
            raise UserError(f"{line!r} is no class and its colour", where=str(path),
                            remedy="write name:red,green,blue::") from error  # fmt: skip
        names.append(name)
        colors.append(red << 16 | green << 8 | blue)
    for what, given in (("are called", names), ("have the colour", [f"#{c:06x}" for c in colors])):
        repeated = next((value for value in given if given.count(value) > 1), None)
        if repeated is not None:
            raise UserError(f"several classes {what} {repeated}", where=str(path),
                            remedy="make them differ")  # fmt: skip
    values = {_BORDER: IGNORE} | {color: number for number, color in enumerate(colors)}
    return _Classes(
        tuple(names), tuple(f"#{color:06x}" for color in colors),
        Values(values, of_colors=True, source=path.name),
    )  # fmt: skip
