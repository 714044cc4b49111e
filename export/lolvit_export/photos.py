"""Real photos that scikit-image carries, licences in docs/photos.md: some to calibrate BatchNorm
of untrained models on, others, never the same, to compare artifacts with eager on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lolvit.artifact import Preprocess
from lolvit.errors import MissingExtraError, UserError
from lolvit_data.bundled import bundled_photo
from lolvit_runtimes.photos import load_photo
from lolvit_runtimes.preprocess import Pixels, normalize, to_pixels
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


def verification_pixels(preprocess: Preprocess) -> list[Pixels]:
    """Return eight photos as uint8 crops (H, W, 3), none of which calibrates."""
    return [to_pixels(_bundled(name), preprocess) for name in VERIFICATION]


def calibration_images(preprocess: Preprocess, folder: Path | None = None) -> FloatArray:
    """Return normalised images (B, 3, H, W) of the bundled photos, or of those in `folder`.

    Raises:
        UserError: the folder is missing or holds fewer than two photos.
    """
    photos = [_bundled(name) for name in CALIBRATION] if folder is None else _photos_in(folder)
    images = [normalize(to_pixels(photo, preprocess), preprocess) for photo in photos]
    mirrored = [image[..., ::-1] for image in images]
    return np.concatenate([*images, *mirrored])


def _bundled(name: str) -> Image.Image:
    try:
        return bundled_photo(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", needed_for="verification on photos") from error


def _photos_in(folder: Path) -> list[Image.Image]:
    if not folder.is_dir():
        raise UserError("no such folder", where=str(folder), remedy="name a folder of photos")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    if len(files) < 2:
        raise UserError(
            f"holds {len(files)} photos", where=str(folder), remedy="calibrate on at least two"
        )
    return [load_photo(path) for path in files[:512]]
