"""Photos that scikit-image's wheel carries; licences in docs/photos.md."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image

from lolvit_runtimes.photos import load_photo


def bundled_photo(name: str) -> Image.Image:
    """Return one of `skimage.data` as 8-bit RGB.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    from skimage import data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        photo = getattr(data, name)()
    pixels = photo[0] if isinstance(photo, tuple) else photo  # a stereo pair: its left photo
    return load_photo(Image.fromarray(np.asarray(pixels)))
