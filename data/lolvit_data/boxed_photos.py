"""Photos with boxes: what readers of files of annotations return."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data.annotations import Objects, WithoutMasks
from lolvit_runtimes.photos import load_photo


@dataclass(frozen=True, kw_only=True)
class PhotosWithBoxes(WithoutMasks):
    """The files of a split, whose boxes a class of its own gives."""

    name: str
    classes: tuple[str, ...]
    files: tuple[Path, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    colors: None = None

    def __len__(self) -> int:
        return len(self.files)

    def identifier(self, index: int) -> str:
        """Return the image's file name without suffix."""
        return self.files[index].stem

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it can't be read; the message names it.
        """
        return load_photo(self.files[index], color)


@dataclass(frozen=True, kw_only=True)
class BoxedPhotos(PhotosWithBoxes):
    """The images of a split with their objects in pixels; `sizes` are the width and height that
    these are for, where the annotations say so."""

    annotated: tuple[Objects, ...] = field(repr=False)
    sizes: tuple[tuple[int, int] | None, ...] = field(repr=False)

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image, as `PhotosWithBoxes.image`.

        Raises:
            UserError: it can't be read, or has another size than its annotations are for.
        """
        photo, size = super().image(index, color), self.sizes[index]
        if size is not None and photo.size != size:
            raise UserError(
                f"has {photo.width}x{photo.height} pixels, its annotations are for"
                f" {size[0]}x{size[1]}", where=str(self.files[index]),
                remedy="give the images that were annotated",
            )  # fmt: skip
        return photo

    def objects(self, index: int) -> Objects:
        """Return the boxes of an image."""
        return self.annotated[index]


def clipped(found: Objects, size: tuple[int, int] | None) -> Objects:
    """Return objects with their boxes clipped to an image of `size` (width, height), where it is
    known, without those that have no area then."""
    boxes = found.boxes
    if size is not None:
        boxes = np.clip(boxes, 0, np.array([*size, *size], np.float64))
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return Objects(boxes[kept], found.classes[kept], found.crowd[kept], found.areas[kept])
