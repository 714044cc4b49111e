"""Fashion-MNIST: 60,000 training and 10,000 test photos of clothing, 28 x 28 grey pixels, in ten
classes (Xiao, Rasul and Vollgraf, arXiv:1708.07747; MIT licence). Debian's package
dataset-fashion-mnist has it; it is not redistributed."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data.dataset import Split

Pixels = npt.NDArray[np.uint8]

NAME = "fashion-mnist"
FOLDER = Path("/usr/share/datasets/fashion-mnist")
FOLDER_VARIABLE = "LOLVIT_FASHION_MNIST"  # another folder with the package's files
CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
           "bag", "ankle boot")  # fmt: skip
SIDE = 28  # pixels
_PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTES = 8  # the format's code of the type
_MOST_VALUES = 1 << 28  # of a file: a damaged header may promise any number
_INSTALL = (
    "install the Debian package dataset-fashion-mnist, or, without root: apt-get download"
    " dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb DIR, and set"
    f" {FOLDER_VARIABLE} to DIR{FOLDER}"
)


@dataclass(frozen=True, eq=False)
class FashionMnist:
    """The photos (N, 28, 28) of a split, bright on black, and the class of each."""

    pixels: Pixels = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)
    name: str = NAME
    classes: tuple[str, ...] = CLASSES
    notes: tuple[str, ...] = ()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return a photo as 8-bit RGB, or in another `color`."""
        return Image.fromarray(self.pixels[index]).convert(color)


def load(split: Split) -> FashionMnist:
    """Return a split.

    Raises:
        UserError: the package is not installed, or a file is damaged.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE, FOLDER))
    prefix = _PREFIXES[split]
    photos, names = (
        folder / f"{prefix}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
    )
    for path in (photos, names):
        if not path.is_file():
            raise UserError(f"has no {path.name}", where=str(folder), remedy=_INSTALL)
    pixels, labels = read_idx(photos, 3), read_idx(names, 1)
    if pixels.shape[1:] != (SIDE, SIDE) or not len(pixels):
        raise _damaged(photos, f"its values are of the shape {pixels.shape}")
    if len(labels) != len(pixels):
        raise _damaged(names, f"it has {len(labels)} labels for {len(pixels)} photos")
    if int(labels.max()) >= len(CLASSES):
        raise _damaged(names, f"it has the label {labels.max()}, of {len(CLASSES)} classes")
    return FashionMnist(pixels, tuple(labels.tolist()))


def read_idx(path: Path, dimensions: int) -> Pixels:
    """Return the array of a gzip-compressed file in the IDX format: two zero bytes, the code of the
    type, the number of dimensions, each extent as a big-endian 32-bit integer, and the values.

    No more is decompressed than the header announces, which may be at most 268 million values.

    Raises:
        UserError: it is damaged, or holds no unsigned bytes with so many dimensions.
    """
    try:
        with gzip.open(path) as stream:
            magic = stream.read(4)
            if magic != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
                raise _damaged(path, f"it holds no array of bytes with {dimensions} dimensions")
            extents = stream.read(4 * dimensions)
            if len(extents) < 4 * dimensions:
                raise _damaged(path, "its header is truncated")
            shape = tuple(int(extent) for extent in np.frombuffer(extents, ">u4"))
            count = math.prod(shape)
            if count > _MOST_VALUES:
                raise _damaged(path, f"its header announces {count:,} values")
            values = stream.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"it can't be decompressed: {error}") from error
    if len(values) != count:
        found = f"more than {count:,}" if len(values) > count else f"{len(values):,}"
        raise _damaged(path, f"its header announces {count:,} values, and it has {found}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"is damaged: {why}", where=str(path),
        remedy="unpack the Debian package dataset-fashion-mnist again",
    )  # fmt: skip
