"""The bundled photos, from scikit-image (licences: docs/photos.md), in two disjoint sets: one
calibrates BatchNorm of untrained models, the other verifies artifacts.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from lolvit.errors import MissingExtraError, UserError
from lolvit.manifest import Color, Preprocessing
from lolvit_data.annotated import annotated_images
from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import even_share
from lolvit_data.table import BUNDLED, HUGGING_FACE, is_dataset, open_dataset
from lolvit_runtimes.photo_files import PhotoFiles, list_photos
from lolvit_runtimes.photos import load_photo
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
DENORMAL_CHECK_PHOTOS = 4  # every layer's activations are checked on these
_MAX_PHOTOS = 512  # that BatchNorm is calibrated on
_CONTRAST = 2.5  # factor of the distance from the mean grey


def verification_pixels(preprocessing: Preprocessing) -> list[Pixels]:
    """Return the eight verification photos as uint8 crops (H, W, channels)."""
    color = preprocessing.color
    return [to_pixels(_bundled(name, color), preprocessing) for name in VERIFICATION]


def calibration_images(preprocessing: Preprocessing, source: str | None = None) -> FloatArray:
    """Return normalised images (B, 3, H, W) of the bundled photos, or of `source`: a folder of
    photos, or a data set's training images.

    Raises:
        UserError: there is no such source, or it has fewer than two photos.
        MissingExtraError: scikit-image, which has the bundled photos, is not installed.
    """
    photos = (
        [_bundled(name, preprocessing.color) for name in CALIBRATION]
        if source is None
        else _photos_of(source, preprocessing.color)
    )
    images = [normalize(to_pixels(photo, preprocessing), preprocessing) for photo in photos]
    mirrored = [image[..., ::-1] for image in images]
    return np.concatenate([*images, *mirrored])


def _bundled(name: str, color: Color) -> Image.Image:
    """Return a bundled photo. None has an alpha channel: for models that take one it is given that
    of its mirrored grey levels, since a constant one would tell nothing of how it is computed."""
    try:
        photo = bundled_photo(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", needed_for="verification on photos") from error
    if color == "RGBA":
        photo.putalpha(ImageOps.mirror(photo.convert("L")))
    return photo


def _photos_of(source: str, color: Color) -> list[Image.Image]:
    """Return the photos of a source; in a folder of photos, those that can be decoded."""
    annotated = annotated_images(source, "train")
    if annotated is not None:
        return [annotated.image(i, color) for i in range(min(len(annotated), _MAX_PHOTOS))]
    folder = photo_folder(source)
    if folder is None:
        dataset = open_dataset(source, "train")
        return [dataset.image(i, color) for i in even_share(dataset.labels, _MAX_PHOTOS)]
    photos = []
    for path in folder.photos[:_MAX_PHOTOS]:
        try:
            photos.append(load_photo(path, color))
        except UserError:
            continue
    if len(photos) < 2:
        raise UserError(f"has {len(photos)} photos", where=source, remedy="give at least two")
    return photos


def photo_folder(source: str) -> PhotoFiles | None:
    """Return the photos below a folder, or None if `source` is a data set with labels: a name, or a
    folder with shards, splits or class folders.

    Raises:
        UserError: `source` is a path, but not a folder.
    """
    if is_dataset(source):
        return None
    if not Path(source).is_dir():
        raise UserError(
            "no such folder",
            where=source,
            remedy=f"give a folder of photos, {', '.join(BUNDLED)} or {HUGGING_FACE}OWNER/NAME",
        )
    return list_photos(Path(source))


def bundled_crops(name: str, count: int, preprocessing: Preprocessing) -> list[Pixels]:
    """Return `count` random crops (H, W, channels) of a bundled photo, always the same."""
    return random_crops(_bundled(name, preprocessing.color), count, preprocessing, seed=name)


def random_crops(
    photo: Image.Image, count: int, preprocessing: Preprocessing, *, seed: str
) -> list[Pixels]:
    """Return `count` random square crops (H, W, channels) of a photo, deterministic by the seed;
    each has 50 to 100 % of the photo's shorter side, every other one is mirrored."""
    draw = random.Random(seed)
    crops = []
    for number in range(count):
        side = draw.randint(max(1, min(photo.size) // 2), min(photo.size))
        left, top = draw.randint(0, photo.width - side), draw.randint(0, photo.height - side)
        pixels = to_pixels(photo.crop((left, top, left + side, top + side)), preprocessing)
        crops.append(pixels[:, ::-1].copy() if number % 2 else pixels)
    return crops


def increase_contrast(crop: Pixels) -> Pixels:
    """Return a crop (H, W, channels) with its contrast increased."""
    image = Image.fromarray(crop[..., 0] if crop.shape[2] == 1 else crop)
    return np.asarray(ImageEnhance.Contrast(image).enhance(_CONTRAST)).reshape(crop.shape)
