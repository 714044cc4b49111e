"""Photos with masks: pictures of one channel, whose values are the numbers of classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lolvit.errors import UserError
from lolvit.labels import read_labels
from lolvit.manifest import Color
from lolvit_data.annotations import IGNORE, SPLITS, Mask, WithoutObjects, spread
from lolvit_data.dataset import Split
from lolvit_runtimes.photo_files import list_photos
from lolvit_runtimes.photos import load_photo, photo_size

CLASSES_FILE = "classes.txt"
_IMAGES, _MASKS = "images", "masks"
_LOOKED_AT = 20  # masks


@dataclass(frozen=True)
class MaskedPhotos(WithoutObjects):
    """The images of a split that have a mask; all are below `folder`."""

    name: str
    folder: Path
    classes: tuple[str, ...]
    colors: tuple[str, ...] | None
    pairs: tuple[tuple[Path, Path], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

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
        try:
            with Image.open(path, formats=["PNG"]) as opened:
                mask = np.asarray(opened)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"can't be read: {error}", where=str(path), remedy="download it again"
                            ) from error  # fmt: skip
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise UserError(
                f"is a picture of {mask.dtype} {mask.shape}, not of class numbers", where=str(path),
                remedy="give the folder masks, not colormaps",
            )  # fmt: skip
        if mask.shape[::-1] != size:
            raise UserError(
                f"has {mask.shape[1]}x{mask.shape[0]} pixels, its image {size[0]}x{size[1]}",
                where=str(path), remedy="give the masks of these images",
            )  # fmt: skip
        wrong = np.setdiff1d(mask, [*range(len(self.classes)), IGNORE])
        if len(wrong):
            raise UserError(
                f"has the class {wrong[0]}, there are {len(self.classes)}", where=str(path),
                remedy="give masks of train ids, from 0, and 255 where there is no class",
            )  # fmt: skip
        return mask


def paired(
    name: str, images: Path, masks: Path, classes: tuple[str, ...],
    colors: tuple[str, ...] | None = None,
) -> MaskedPhotos:  # fmt: skip
    """Pair the images below a folder with the masks below another one: they have the same path but
    for the suffix. None is opened; those without a counterpart are counted in `notes`.

    Raises:
        UserError: no image has a mask.
    """
    by_name = {_name(path, images): path for path in list_photos(images).photos}
    targets = {_name(path, masks): path for path in sorted(masks.rglob("*.png"))}
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
    return MaskedPhotos(name, images, classes, colors, pairs, notes)


def _name(path: Path, folder: Path) -> Path:
    return path.relative_to(folder).with_suffix("")


def is_masked(root: Path) -> bool:
    """Whether a folder has images/ and masks/, by splits or not, and a file of the classes' names:
    without one it may be photos to calibrate with."""
    return _folders(root, "train") is not None and (root / CLASSES_FILE).is_file()


def has_test(root: Path) -> bool:
    """Whether a folder has images and masks of a test split."""
    return _folders(root, "test") is not None


def load(root: Path, split: Split) -> MaskedPhotos:
    """Pair the images and masks of a split; a few masks are opened. The folder's `classes.txt` has
    a name for each class, one a line.

    Raises:
        UserError: the split is missing, no image has a mask, or masks are black and white, or
            none.
    """
    folders = _folders(root, split)
    if folders is None:
        raise UserError(
            f"has no images and masks of the {split} split", where=str(root),
            remedy=f"add {_IMAGES}/{SPLITS[split][0]} and {_MASKS}/{SPLITS[split][0]}",
        )  # fmt: skip
    path = root / CLASSES_FILE
    classes = read_labels(path, None) or ()
    if not 2 <= len(classes) <= IGNORE:
        raise UserError(f"has {len(classes)} classes", where=str(path),
                        remedy=f"give 2 to {IGNORE}, with the background if it is one")  # fmt: skip
    found = paired(root.name, *folders, classes)
    _check_foreground(found)
    return found


def _check_foreground(found: MaskedPhotos) -> None:
    """Check that masks are not black and white: their white would be pixels without a class.

    Raises:
        UserError: some masks, evenly spread, have no other values.
    """
    some = [found.mask(index) for index in spread(len(found), _LOOKED_AT)]
    if set(np.unique(np.concatenate([mask.ravel() for mask in some]))) == {0, IGNORE}:
        raise UserError(
            f"its masks have the values 0 and {IGNORE} alone, and {IGNORE} is no class",
            where=str(found.folder), remedy="save them with 1 in place of 255",
        )  # fmt: skip


def _folders(root: Path, split: Split) -> tuple[Path, Path] | None:
    places = [
        place
        for name in SPLITS[split]
        for place in (
            (root / _IMAGES / name, root / _MASKS / name),
            (root / name / _IMAGES, root / name / _MASKS),
        )
    ]
    if split == "train":
        places.append((root / _IMAGES, root / _MASKS))  # not split
    return next((place for place in places if all(folder.is_dir() for folder in place)), None)
