"""The photo that models are timed on, as each artifact's input."""

from __future__ import annotations

import importlib.util
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image

from lolvit.errors import UserError
from lolvit.files import sha256_of
from lolvit.manifest import Artifact, Preprocessing
from lolvit_runtimes.photos import load_photo
from lolvit_runtimes.preprocessing import to_input, to_pixels
from lolvit_runtimes.session import FloatArray

_DEFAULT_PHOTO = "astronaut.png"  # scikit-image carries it
_REPEATS = 5


@dataclass(frozen=True)
class Photo:
    """A decoded photo, its file's name and digest."""

    image: Image.Image
    name: str
    sha256: str


def open_photo(path: Path | None) -> Photo:
    """Decode a photo, or scikit-image's astronaut for None.

    Raises:
        UserError: it can't be read, or scikit-image is not installed.
    """
    path = path or default_photo()
    return Photo(load_photo(path), path.name, sha256_of(path))


def default_photo() -> Path:
    """Return the path of the photo that is used when none is given.

    Raises:
        UserError: scikit-image, which carries it, is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / _DEFAULT_PHOTO
        if path.is_file():
            return path
    raise UserError(
        "no photo to measure on: scikit-image, which carries one, is not installed",
        remedy="give --photo FILE, or run: pip install 'lolvit[bench]'",
    )


def prepare_input(photo: Photo, preprocessing: Preprocessing, artifact: Artifact) -> FloatArray:
    """Return the photo as the artifact's input.

    Raises:
        UserError: the manifest asks for what this lolvit can't give.
    """
    image = to_input(to_pixels(photo.image, preprocessing), preprocessing, artifact.image)
    return cast(FloatArray, image)


def preprocess_ms(photo: Photo, preprocessing: Preprocessing, artifact: Artifact) -> float:
    """Return the median milliseconds from the decoded photo to the artifact's input."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        prepare_input(photo, preprocessing, artifact)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3
