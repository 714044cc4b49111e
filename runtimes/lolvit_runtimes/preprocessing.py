"""Convert photos to inputs as the manifest's `Preprocessing` defines, with numpy and Pillow.

With a centre crop it is equal to timm's evaluation transform, which training uses
(`timm.data.create_transform(is_training=False, ...)`): tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing, TensorSpec
from lolvit.placement import Placement
from lolvit_runtimes.session import Array, FloatArray

Pixels = npt.NDArray[np.uint8]

LARGEST_RESIZED = 64_000_000  # pixels: 192 MB of RGB
PADDING = 128  # of a letterbox, in every channel
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def one_per_channel(
    option: str, values: Sequence[float], channels: int, where: str
) -> tuple[float, ...]:
    """Return the values of `--mean` or `--std`, one for each channel; a single one is for all.

    Raises:
        UserError: there are as many as neither, or a value is impossible.
    """
    if len(values) not in (1, channels):
        raise UserError(
            f"{option} has {len(values)} values, the image {channels} channels",
            where=where,
            remedy="give one value for all channels, or one per channel",
        )
    if not all(map(math.isfinite, values)) or (option == "--std" and min(values) <= 0):
        raise UserError(
            f"{option} {','.join(map(str, values))} is impossible", where=where,
            remedy="give the values that the model was trained with",
        )  # fmt: skip
    return tuple(values) if len(values) == channels else tuple(values) * channels


def to_pixels(photo: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize a photo, and crop its centre or pad it: uint8 of shape (H, W, channels).

    Raises:
        UserError: the photo's aspect ratio is so extreme that resizing would take too much memory.
    """
    place = placement_of((photo.height, photo.width), preprocessing)
    height, width = place.resized
    if height * width > LARGEST_RESIZED:
        raise UserError(
            f"a photo of {photo.width}x{photo.height} is too elongated", remedy="crop it first"
        )
    converted = photo if photo.mode == preprocessing.color else photo.convert(preprocessing.color)
    resized = converted.resize((width, height), _FILTERS[preprocessing.interpolation])
    top, left = place.offset
    if preprocessing.resize == "letterbox":
        fill = (PADDING,) * preprocessing.channels
        background = Image.new(preprocessing.color, preprocessing.size[::-1], fill)
        background.paste(resized, (-left, -top))
        resized = background
    else:
        crop_height, crop_width = preprocessing.size
        resized = resized.crop((left, top, left + crop_width, top + crop_height))
    pixels = np.asarray(resized)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def placement_of(photo: tuple[int, int], preprocessing: Preprocessing) -> Placement:
    """Return where a photo of this (height, width) in pixels lies in the input."""
    size = preprocessing.size
    if preprocessing.resize == "letterbox":
        ratio = min(side / own for side, own in zip(size, photo, strict=True))
        height, width = (max(1, round(side * ratio)) for side in photo)
        return Placement(
            photo, (height, width), size, (-((size[0] - height) // 2), -((size[1] - width) // 2))
        )
    height, width = resized_size(photo, preprocessing)
    return Placement(
        photo, (height, width), size, (_middle(height, size[0]), _middle(width, size[1]))
    )


def resized_size(photo: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the (height, width) in pixels that a photo of this size is resized to, before it is
    cropped: to `stretch`, or to cover the box."""
    box_height, box_width = (
        math.floor(side / preprocessing.crop_pct) for side in preprocessing.size
    )
    if preprocessing.resize == "stretch":
        return box_height, box_width
    height, width = photo
    if box_height == box_width:
        long = int(box_height * max(photo) / min(photo))
        return (box_height, long) if height <= width else (long, box_height)
    ratio = min(height / box_height, width / box_width)
    return round(height / ratio), round(width / ratio)


def _middle(extent: int, crop: int) -> int:
    """Return where a crop begins; before the image, if that is smaller than the crop."""
    return round((extent - crop) / 2) if extent >= crop else -((crop - extent) // 2)


def normalize(pixels: Pixels, preprocessing: Preprocessing) -> FloatArray:
    """Return (pixel / 255 - mean) / std: float32 of shape (1, C, H, W) from uint8 (H, W, C)."""
    mean, std = (
        np.asarray(values, np.float32) for values in (preprocessing.mean, preprocessing.std)
    )
    scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std  # (H, W, C)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])  # (1, C, H, W)


def to_input(pixels: Pixels, preprocessing: Preprocessing, spec: TensorSpec) -> Array:
    """Return the crop of `to_pixels` in the layout, range and element type of an artifact's image
    input, for one image: the first axis has extent 1.

    Raises:
        UserError: the manifest defines an input that this version does not support.
    """
    image = _values(pixels, preprocessing, spec)  # (1, C, H, W)
    if spec.layout == "NHWC":
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))  # (1, H, W, C)
    if image.shape[1:] != spec.shape[1:]:
        raise UserError(
            f"input '{spec.name}' has shape {spec.shape}, preprocessing returns {image.shape}",
            remedy="export again",
        )
    return image.astype(spec.dtype, copy=False)


def _values(pixels: Pixels, preprocessing: Preprocessing, spec: TensorSpec) -> Array:
    if spec.meaning == "pixels" and spec.dtype != "int8":
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])
    if spec.meaning == "normalized" and spec.dtype in ("float32", "float16"):
        return normalize(pixels, preprocessing)
    raise UserError(
        f"input '{spec.name}' takes {spec.meaning} values as {spec.dtype}, which this version does"
        " not support",
        remedy="use the lolvit that wrote the manifest",
    )


def to_batches(images: Sequence[Array], batch: int) -> Iterator[tuple[Array, int]]:
    """Yield inputs (1, ...) as batches (`batch`, ...), each with its number of images; the last
    batch is padded with copies of the last image."""
    for start in range(0, len(images), batch):
        part = list(images[start : start + batch])
        filled = part + [part[-1]] * (batch - len(part))
        yield (np.concatenate(filled) if batch > 1 else part[0]), len(part)
