"""Random square crops of natural photos, which have no classes of their own: images to train a
model on a teacher's outputs.

The photos are those of scikit-image with free licences and, of `photo-crops:FOLDER`, all below a
folder, such as /usr/share/backgrounds. Training and test crops are of different photos. Each crop
is a function of its photo, the split and its number.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data import crops
from lolvit_data.annotations import spread
from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import Split
from lolvit_runtimes.photo_files import as_unicode, left_out_note, list_photos
from lolvit_runtimes.photos import load_photo

NAME: Final = "photo-crops"
COUNTS: Final[dict[Split, int]] = {"train": 16_000, "test": 2_000}
# Crops of one photo are no independent test images, but of many photos each adds one.
MOST_TEST_PHOTOS: Final = 10_000
_TEST_EVERY = 5  # of the photos
_LONGEST = 640  # pixels, of the side that photos are reduced to
_SMALLEST_SHARE = 0.3  # of a photo's shorter side, of a crop's side
_KEPT = 1024  # reduced photos in memory, of up to 0.9 MB each
_COPIES = "other sizes or variants of a photo"
# Packages of wallpapers have a photo in several sizes, as NAME_3840x2160.jpg, and for light and
# dark surroundings, as NAME-l.jpg and NAME-d.jpg; KDE's have all, and a preview, in NAME/contents.
_VARIANT = re.compile(r"[-_](?:l|d|light|dark|day|night|\d{3,5}x\d{3,5})$")
_CONTENTS = "contents"


@dataclass(frozen=True)
class Photo:
    """A photo of scikit-image by its name, or a file."""

    name: str
    path: Path | None = None

    def size(self) -> int:
        """Return the file's size in bytes; 0 of scikit-image's photos."""
        return 0 if self.path is None else self.path.stat().st_size


@dataclass(frozen=True, eq=False)
class PhotoCrops:
    """`count` crops of a split's photos, which take turns."""

    split: Split
    photos: tuple[Photo, ...] = field(repr=False)
    count: int
    notes: tuple[str, ...] = ()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return a crop as 8-bit RGB, or in another `color`: a square of 30 to 100 % of its photo's
        shorter side, at the photo's resolution, reduced to at most 640 pixels.

        Raises:
            UserError: the photo can't be decoded.
        """
        photo = self.photos[index % len(self.photos)]
        reduced = _reduced(photo)
        draw = random.Random(f"{photo.name} {self.split} {index // len(self.photos)}")
        shorter = min(reduced.size)
        side = max(1, round(draw.uniform(_SMALLEST_SHARE, 1) * shorter))
        left = draw.randint(0, reduced.width - side)
        top = draw.randint(0, reduced.height - side)
        return reduced.crop((left, top, left + side, top + side)).convert(color)

    def digest(self) -> str:
        """Return a digest of the names and file sizes of the photos: other crops have another."""
        listed = "\0".join(f"{photo.name} {photo.size()}" for photo in self.photos)
        return hashlib.sha256(listed.encode()).hexdigest()


def is_photo_crops(source: str) -> bool:
    """Whether a source of data is `photo-crops` or `photo-crops:FOLDER`."""
    return source == NAME or source.startswith(f"{NAME}:")


def folder_of(source: str) -> Path | None:
    """Return the folder that a source names beside scikit-image's photos."""
    _, _, folder = source.partition(":")
    return Path(folder) if folder else None


def load(source: str, split: Split, count: int | None = None) -> PhotoCrops:
    """Return crops of a split's photos, every fifth of all; at most `count`. The test split has as
    many as it has photos, from 2,000 to 10,000. Of more photos than crops it takes some evenly,
    because those of one folder are often of one kind.

    Raises:
        UserError: the folder is missing or has no photos.
        ModuleNotFoundError: scikit-image is not installed.
    """
    chosen = _of_split([Photo(name) for name in crops.PHOTOS], split)
    notes: tuple[str, ...] = ()
    root = folder_of(source)
    if root is not None:
        if not root.is_dir():
            raise UserError("no such folder", where=str(root), remedy="give a folder of photos")
        found, notes = _photos_below(root)
        if not found:
            raise UserError("has no photos", where=str(root), remedy="give a folder of photos")
        chosen += _of_split(found, split)
    number = COUNTS[split]
    if split == "test":
        number = max(number, min(len(chosen), MOST_TEST_PHOTOS))
    if count is not None:
        number = min(count, number)
    photos = tuple(chosen[place] for place in spread(len(chosen), number))
    return PhotoCrops(split, photos, number, notes)


def _of_split(photos: Sequence[Photo], split: Split) -> list[Photo]:
    return [
        photo
        for place, photo in enumerate(photos)
        if (place % _TEST_EVERY == _TEST_EVERY - 1) == (split == "test")
    ]


def _photos_below(root: Path) -> tuple[list[Photo], tuple[str, ...]]:
    """Return the photos below a folder by name, the largest file of each, and a note on what is
    left out."""
    listed = list_photos(root)
    largest: dict[str, Path] = {}
    copies = []
    for path in listed.photos:
        name = _name(path.relative_to(root))
        other = largest.get(name)
        if other is None or path.stat().st_size > other.stat().st_size:
            largest[name] = path
            copies += [] if other is None else [other]
        else:
            copies.append(path)
    left_out = {**listed.left_out, **({_COPIES: tuple(copies)} if copies else {})}
    note = left_out_note(str(root), left_out)
    photos = [Photo(name, path) for name, path in sorted(largest.items())]
    return photos, (note,) if note else ()


def _name(path: Path) -> str:
    """Return the name that all sizes and variants of a photo have in common."""
    parts = [_VARIANT.sub("", part.lower()) for part in path.with_suffix("").parts]
    if _CONTENTS in parts[1:]:
        parts = parts[: parts.index(_CONTENTS, 1)]
    return as_unicode("/".join(parts))


@lru_cache(maxsize=_KEPT)
def _reduced(photo: Photo) -> Image.Image:
    image = bundled_photo(photo.name) if photo.path is None else load_photo(photo.path)
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return image
