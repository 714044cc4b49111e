"""Photos with masks: pictures of one channel, whose values are the numbers of classes, or others
that stand for them.

A folder of them has images/, masks/ and classes.txt, or classes.csv, whose lines have a value and
the name of the class that it stands for; or, as Roboflow exports it, {train,valid}/ with NAME.jpg,
NAME_mask.png and _classes.csv.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.errors import UserError
from lolvit.labels import read_labels, read_values
from lolvit.manifest import Color
from lolvit_data.annotations import IGNORE, NOT_A_CLASS, SPLITS, Mask, WithoutObjects, spread
from lolvit_data.dataset import Split
from lolvit_runtimes.photo_files import list_photos
from lolvit_runtimes.photos import load_photo, photo_size

CLASSES_FILE, _VALUES_FILE = "classes.txt", "classes.csv"
_IMAGES, _MASKS = "images", "masks"
_ROBOFLOW_CLASSES = "_classes.csv"
_MASK_ENDING = "_mask"  # Roboflow's, and many people's
_LOOKED_AT = 20  # masks


@dataclass(frozen=True)
class Values:
    """Which class, or `IGNORE`, each value of a mask stands for: of a picture in colours, the value
    0xRRGGBB if `of_colors`. `source` says so, for messages."""

    classes: Mapping[int, int] = field(repr=False)
    of_colors: bool
    source: str

    def translate(self, found: npt.NDArray[np.uint32], path: Path) -> Mask:
        """Return the classes of a mask's values.

        Raises:
            UserError: it has another value.
        """
        known = np.array(sorted(self.classes), np.uint32)
        places = np.searchsorted(known, found).clip(max=len(known) - 1)
        unknown = found[known[places] != found]
        if len(unknown):
            value = f"colour #{unknown[0]:06x}" if self.of_colors else f"value {unknown[0]}"
            raise UserError(
                f"has the {value}, which {self.source} does not have", where=str(path),
                remedy="add it there, or correct the mask",
            )  # fmt: skip
        classes = np.array([self.classes[value] for value in known.tolist()], np.uint8)
        translated: Mask = classes[places]
        return translated


@dataclass(frozen=True)
class MaskedPhotos(WithoutObjects):
    """The images of a split that have a mask; all are below `folder`."""

    name: str
    folder: Path
    classes: tuple[str, ...]
    colors: tuple[str, ...] | None
    pairs: tuple[tuple[Path, Path], ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    values: Values | None = None  # of masks without class numbers

    def __len__(self) -> int:
        return len(self.pairs)

    def identifier(self, index: int) -> str:
        """Return the image's path in the folder, without suffix."""
        return _name(self.pairs[index][0], self.folder).as_posix()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it can't be read; the message names it.
        """
        return load_photo(self.pairs[index][0], color)

    def mask(self, index: int) -> Mask:
        """Return an image's classes. Of a mask with a palette these are its indices.

        Raises:
            UserError: it can't be read, has a class that does not exist, or another size than its
                image.
        """
        photo, path = self.pairs[index]
        size = photo_size(photo)
        mask = _read(path, self.values)
        if mask.shape[::-1] != size:
            raise UserError(
                f"has {mask.shape[1]}x{mask.shape[0]} pixels, its image {size[0]}x{size[1]}",
                where=str(path), remedy="give the masks of these images",
            )  # fmt: skip
        present = np.flatnonzero(np.bincount(mask.ravel()))
        wrong = np.setdiff1d(present, [*range(len(self.classes)), IGNORE])
        if len(wrong):
            raise UserError(
                f"has the class {wrong[0]}, there are {len(self.classes)}", where=str(path),
                remedy="give masks of train ids, from 0, and 255 where there is no class; or"
                f" {_VALUES_FILE}, with a line VALUE,NAME for each class",
            )  # fmt: skip
        return mask


def _read(path: Path, values: Values | None) -> Mask:
    """Return the classes in a file of a mask.

    Raises:
        UserError: it can't be read, or is in colours that stand for nothing.
    """
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            if values is not None and values.of_colors and opened.mode != "L":
                channels = np.asarray(opened.convert("RGB"), np.uint32)
                return values.translate(channels @ np.array([1 << 16, 1 << 8, 1], np.uint32), path)
            pixels = np.asarray(opened)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"can't be read: {error}", where=str(path), remedy="download it again"
                        ) from error  # fmt: skip
    mask = _as_numbers(pixels)
    if mask is None:
        raise UserError(
            f"is a picture of {pixels.dtype} {pixels.shape}, not of class numbers", where=str(path),
            remedy="give the folder masks, not colormaps",
        )  # fmt: skip
    if values is None or values.of_colors:
        return mask
    return values.translate(mask.astype(np.uint32), path)


def _as_numbers(pixels: npt.NDArray[Any]) -> Mask | None:
    """Return a picture of one channel, of one bit or of 16 too, or of grey as three equal channels,
    as numbers; None for one in colours, and for numbers above 255."""
    if pixels.ndim == 3 and (pixels[..., :3] == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim != 2 or (pixels.dtype.itemsize > 1 and not (pixels <= IGNORE).all()):
        return None
    return pixels.astype(np.uint8)


@dataclass(frozen=True)
class Endings:
    """What names of images and of masks end with, before the suffix, beside what they share."""

    image: str = ""
    mask: str = ""


def paired(
    name: str, images: Path, masks: Path, classes: tuple[str, ...],
    colors: tuple[str, ...] | None = None, *, endings: Endings = Endings(),
    names: Collection[str] | None = None, values: Values | None = None,
) -> MaskedPhotos:  # fmt: skip
    """Pair the images below a folder with the masks below another one: they have the same path but
    for their endings and suffixes; `names` are those to take. None is opened; those without a
    counterpart are counted in `notes`.

    Raises:
        UserError: no image has a mask.
    """
    targets = _by_name(sorted(masks.rglob("*.png")), masks, endings.mask)
    masks_there = {*targets.values()}
    photos = [path for path in list_photos(images).photos if path not in masks_there]
    by_name = _by_name(photos, images, endings.image)
    if names is not None:
        targets, by_name = ({path: found[path] for path in found if path.as_posix() in names}
                            for found in (targets, by_name))  # fmt: skip
    both = sorted(by_name.keys() & targets.keys())
    if not both:
        names = " and ".join(
            str(next(iter(found.values())).name) for found in (by_name, targets) if found
        )
        raise UserError(
            f"none of {len(by_name)} images has one of {len(targets)} PNG masks"
            + (f", such as {names}" if names else ""),
            where=str(images), remedy="images and masks have the same name but for the suffix",
        )  # fmt: skip
    lines = (
        (len(by_name) - len(both), "images have no mask"),
        (len(targets) - len(both), "masks have no image"),
    )
    notes = tuple(f"{count} {what}, left out" for count, what in lines if count)
    pairs = tuple((by_name[each], targets[each]) for each in both)
    return MaskedPhotos(name, images, classes, colors, pairs, notes, values)


def _by_name(paths: Iterable[Path], folder: Path, ending: str) -> dict[Path, Path]:
    """Return files that have an ending, by their paths in a folder without it and the suffix."""
    return {
        _name(path, folder).with_name(path.stem.removesuffix(ending)): path
        for path in paths
        if path.stem.endswith(ending)
    }


def _name(path: Path, folder: Path) -> Path:
    return path.relative_to(folder).with_suffix("")


def is_masked(root: Path) -> bool:
    """Whether a folder has images and masks, by splits or not, and a file of the classes' names:
    without one it may be photos to calibrate with."""
    place = _place(root, "train")
    return place is not None and place.classes.is_file()


def has_test(root: Path) -> bool:
    """Whether a folder has images and masks of a test split."""
    return _place(root, "test") is not None


def load(root: Path, split: Split) -> MaskedPhotos:
    """Pair the images and masks of a split; a few masks are opened where no table has their values.

    Raises:
        UserError: the split is missing, no image has a mask, or masks are black and white, or
            none.
    """
    place = _place(root, split)
    if place is None:
        raise UserError(
            f"has no images and masks of the {split} split", where=str(root),
            remedy=f"add {_IMAGES}/{SPLITS[split][0]} and {_MASKS}/{SPLITS[split][0]}",
        )  # fmt: skip
    classes, values = _read_classes(place.classes)
    check_number_of_classes(classes, place.classes)
    found = paired(
        root.name, place.images, place.masks, classes, endings=place.endings, values=values
    )
    if values is None:
        _check_foreground(found)
    return found


def check_number_of_classes(names: Sized, path: Path) -> None:
    """Check that the classes in a file fit in a mask.

    Raises:
        UserError: there are too few or too many.
    """
    if not 2 <= len(names) <= IGNORE:
        raise UserError(f"has {len(names)} classes", where=str(path),
                        remedy=f"give 2 to {IGNORE}, with the background if it is one")  # fmt: skip


def _read_classes(path: Path) -> tuple[tuple[str, ...], Values | None]:
    """Return the names of classes and, of a table, which values stand for them."""
    if path.suffix.lower() != ".csv":
        return read_labels(path, None) or (), None
    found = read_values(path)
    names = {value: name for value, name in found.items() if name != NOT_A_CLASS}
    values = {IGNORE: IGNORE} | dict.fromkeys(found, IGNORE)
    values |= {value: number for number, value in enumerate(names)}
    return tuple(names.values()), Values(values, of_colors=False, source=path.name)


def _check_foreground(found: MaskedPhotos) -> None:
    """Check that masks are not black and white: their white would be pixels without a class.

    Raises:
        UserError: some masks, evenly spread, have no other values.
    """
    some = [found.mask(index) for index in spread(len(found), _LOOKED_AT)]
    if set(np.unique(np.concatenate([mask.ravel() for mask in some]))) == {0, IGNORE}:
        raise UserError(
            f"its masks have the values 0 and {IGNORE} alone, and {IGNORE} is no class",
            where=str(found.folder),
            remedy=f"save them with 1 in place of 255, or give {_VALUES_FILE} with a line 255,NAME",
        )  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """Where the images, the masks and the classes' names of a split are."""

    images: Path
    masks: Path
    classes: Path
    endings: Endings = Endings()


def _place(root: Path, split: Split) -> _Place | None:
    for name in SPLITS[split]:
        if (root / name / _ROBOFLOW_CLASSES).is_file():
            found = _Place(root / name, root / name, root / name / _ROBOFLOW_CLASSES,
                           Endings(mask=_MASK_ENDING))  # fmt: skip
            if any(found.masks.glob(f"*{_MASK_ENDING}.png")):
                return found
    folders = [
        place
        for name in SPLITS[split]
        for place in (
            (root / _IMAGES / name, root / _MASKS / name),
            (root / name / _IMAGES, root / name / _MASKS),
        )
    ]
    if split == "train":
        folders.append((root / _IMAGES, root / _MASKS))  # not split
    for images, masks in folders:
        if images.is_dir() and masks.is_dir():
            ending = _MASK_ENDING if _all_end_with(_MASK_ENDING, masks) else ""
            table = root / _VALUES_FILE
            classes = table if table.is_file() else root / CLASSES_FILE
            return _Place(images, masks, classes, Endings(mask=ending))
    return None


def _all_end_with(ending: str, folder: Path) -> bool:
    names = [path.stem for path in folder.rglob("*.png")]
    return bool(names) and all(name.endswith(ending) for name in names)
