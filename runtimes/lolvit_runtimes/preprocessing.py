"""Photos into inputs, as the manifest's `Preprocess` says: numpy and Pillow alone.

Equal to the evaluation transform that the models are trained with
(`timm.data.create_transform(is_training=False, ...)`): tests compare the two.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Preprocess, TensorSpec
from lolvit_runtimes.session import FloatArray

Pixels = npt.NDArray[np.uint8]

LARGEST_RESIZED = 64_000_000  # pixels: 192 MB of RGB
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def to_pixels(photo: Image.Image, preprocess: Preprocess) -> Pixels:
    """Resize an RGB photo and crop its centre: uint8 of shape (H, W, 3).

    Raises:
        UserError: the photo is so elongated that it would be resized to a giant one.
    """
    height, width = resized_size((photo.height, photo.width), preprocess)
    if height * width > LARGEST_RESIZED:
        raise UserError(
            f"a photo of {photo.width}x{photo.height} is too elongated", remedy="crop it first"
        )
    resized = photo.resize((width, height), _FILTERS[preprocess.interpolation])
    crop_height, crop_width = preprocess.size
    top, left = _middle(height, crop_height), _middle(width, crop_width)
    cropped = resized.crop((left, top, left + crop_width, top + crop_height))
    return np.asarray(cropped)


def resized_size(photo: tuple[int, int], preprocess: Preprocess) -> tuple[int, int]:
    """Return the height and width to resize a photo to, given its own (see `Preprocess`)."""
    box_height, box_width = (math.floor(side / preprocess.crop_pct) for side in preprocess.size)
    height, width = photo
    if box_height == box_width:
        long = int(box_height * max(photo) / min(photo))
        return (box_height, long) if height <= width else (long, box_height)
    ratio = min(height / box_height, width / box_width)
    return round(height / ratio), round(width / ratio)


def _middle(extent: int, crop: int) -> int:
    return round((extent - crop) / 2)


def normalize(pixels: Pixels, preprocess: Preprocess) -> FloatArray:
    """Return (pixels / 255 - mean) / std: float32 of shape (1, 3, H, W) from uint8 (H, W, 3)."""
    mean, std = (np.asarray(values, np.float32) for values in (preprocess.mean, preprocess.std))
    scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std  # (H, W, 3)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])  # (1, 3, H, W)


def to_input(pixels: Pixels, preprocess: Preprocess, spec: TensorSpec) -> npt.NDArray[np.generic]:
    """Return the crop of `to_pixels` in the layout, values and element type of an artifact's input.

    Raises:
        UserError: the manifest asks for what this lolvit can't give.
    """
    image: npt.NDArray[np.generic] = _values(pixels, preprocess, spec)  # (1, 3, H, W)
    if spec.layout == "NHWC":
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))  # (1, H, W, 3)
    if image.shape != spec.shape:
        raise UserError(
            f"input '{spec.name}' has shape {spec.shape}, preprocessing gives {image.shape}",
            remedy="export again",
        )
    return image.astype(spec.dtype, copy=False)


def _values(pixels: Pixels, preprocess: Preprocess, spec: TensorSpec) -> npt.NDArray[np.generic]:
    if spec.values == "pixels" and spec.dtype != "int8":
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])
    if spec.values == "normalized" and spec.dtype in ("float32", "float16"):
        return normalize(pixels, preprocess)
    raise UserError(
        f"input '{spec.name}' asks for {spec.values} as {spec.dtype}, which this lolvit can't give",
        remedy="use the lolvit that wrote the manifest",
    )
