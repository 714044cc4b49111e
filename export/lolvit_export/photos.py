"""Real photos that scikit-image carries, licences in docs/photos.md: some to calibrate BatchNorm
of untrained models on, others, never the same, to compare artifacts with eager on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from lolvit.errors import MissingExtraError, UserError
from lolvit.manifest import Preprocessing
from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import even_share
from lolvit_data.table import BUNDLED, HUGGING_FACE, open_dataset
from lolvit_runtimes.photos import is_photo, load_photo
from lolvit_runtimes.preprocessing import Pixels, normalize, to_pixels
from lolvit_runtimes.session import FloatArray

VERIFICATION = ("astronaut", "coffee", "cat", "rocket", "retina", "moon", "cell", "clock")
CALIBRATION = (
    "hubble_deep_field",
    "immunohistochemistry",
    "stereo_motorcycle",
    "camera",
    "coins",
    "brick",
    "grass",
    "gravel",
)
_MOST = 512  # photos that BatchNorm is calibrated on
_STRONG = 2.5  # times the distance from the mean grey; 1 leaves a photo as it is


def verification_pixels(preprocessing: Preprocessing) -> list[Pixels]:
    """Return eight photos as uint8 crops (H, W, 3), none of which calibrates."""
    return [to_pixels(_bundled(name), preprocessing) for name in VERIFICATION]


def calibration_images(preprocessing: Preprocessing, source: str | None = None) -> FloatArray:
    """Return normalised images (B, 3, H, W) of the bundled photos, or of `source`: a folder of
    photos, or a data set's training images.

    Raises:
        UserError: there is no such source, or it has fewer than two photos.
    """
    photos = [_bundled(name) for name in CALIBRATION] if source is None else _photos_of(source)
    images = [normalize(to_pixels(photo, preprocessing), preprocessing) for photo in photos]
    mirrored = [image[..., ::-1] for image in images]
    return np.concatenate([*images, *mirrored])


def _bundled(name: str) -> Image.Image:
    try:
        return bundled_photo(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", needed_for="verification on photos") from error


def _photos_of(source: str) -> list[Image.Image]:
    folder = flat_folder(source)
    if folder is None:
        dataset = open_dataset(source, "train")
        return [dataset.image(i) for i in even_share(dataset.labels, _MOST)]
    if len(folder.photos) < 2:
        raise UserError(
            f"holds {len(folder.photos)} photos", where=source, remedy="give at least two"
        )
    return [load_photo(path) for path in folder.photos[:_MOST]]


@dataclass(frozen=True)
class FlatFolder:
    """The photos right in a folder, and the other files in it, such as README.txt or Thumbs.db."""

    photos: tuple[Path, ...]
    others: tuple[Path, ...]


def flat_folder(source: str) -> FlatFolder | None:
    """Return the photos right in a folder, or None where `source` is a data set: one by name, or a
    folder with folders of its own, or of shards. Hidden files are not looked at.

    Raises:
        UserError: a path, but no folder.
    """
    if source in BUNDLED or source.startswith(HUGGING_FACE):
        return None
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(
            "no such folder",
            where=source,
            remedy=f"name a folder of photos, {', '.join(BUNDLED)} or {HUGGING_FACE}OWNER/NAME",
        )
    visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    files = [path for path in visible if path.is_file()]
    structured = len(files) < len(visible) or any(path.suffix == ".tar" for path in files)
    if structured:
        return None
    photos = tuple(path for path in files if is_photo(path))
    return FlatFolder(photos, tuple(path for path in files if path not in set(photos)))


def crops_of(name: str, count: int, preprocessing: Preprocessing) -> list[Pixels]:
    """Return `count` crops (H, W, 3) of a bundled photo, each of half to all of its shorter side,
    every other one mirrored; the same ones every time."""
    photo, draw = _bundled(name), random.Random(name)
    crops = []
    for number in range(count):
        side = draw.randint(min(photo.size) // 2, min(photo.size))
        left, top = draw.randint(0, photo.width - side), draw.randint(0, photo.height - side)
        pixels = to_pixels(photo.crop((left, top, left + side, top + side)), preprocessing)
        crops.append(pixels[:, ::-1].copy() if number % 2 else pixels)
    return crops


def contrasted(crop: Pixels) -> Pixels:
    """Return a crop (H, W, 3) with its contrasts made stronger, as some photos have them."""
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(crop)).enhance(_STRONG))
