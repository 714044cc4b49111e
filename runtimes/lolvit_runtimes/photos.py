"""Photos into RGB, grey levels or RGBA, whatever they are stored as: Pillow and numpy alone."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_runtimes.native import reason

# Pillow opens more, but some through other programs (EPS) or as sets of images.
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_HIGHEST = 65535


def load_photo(source: Path | Image.Image, color: Color = "RGB") -> Image.Image:
    """Return a photo as 8-bit RGB (or in another `color`), upright as its EXIF orientation says.

    Of an animation it is the first frame. For RGB and L, transparency is dropped and the colours
    under it stay, as training loaders do with `Image.convert("RGB")`. Unlike them, a 16-bit grey
    photo is scaled to 8 bits, not clipped to white.

    Raises:
        UserError: there is no such file; it is no photo, truncated, or too large to decode; it
            has a pixel format with no defined range.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # large but allowed; odd EXIF; palette transparency
        if isinstance(source, Image.Image):
            return _decode(source, "photo", color)
        if not source.is_file():  # a pipe would block, a folder or a device is no photo
            what = "not a file" if source.exists() else "no such photo"
            raise UserError(what, where=str(source), remedy="give the path of a JPEG or PNG photo")
        return _open(source, str(source), color)


def is_photo(path: Path) -> bool:
    """Whether a file begins as a photo does that `load_photo` may read; its pixels are not
    decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=PHOTO_FORMATS).close()
    except Exception:  # noqa: BLE001 - decoders raise many types at malformed headers
        return False
    return True


def load_encoded(data: bytes, where: str, color: Color = "RGB") -> Image.Image:
    """As `load_photo`, from the bytes of a file that is named `where`.

    Raises:
        UserError: as `load_photo`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _open(io.BytesIO(data), where, color)


def _open(source: Path | io.BytesIO, where: str, color: Color) -> Image.Image:
    try:
        with Image.open(source, formats=PHOTO_FORMATS) as opened:
            return _decode(opened, where, color)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(PHOTO_FORMATS)
        raise UserError(
            "not a photo that can be read", where=where, remedy=f"known are: {known}"
        ) from error
    except Exception as error:  # decoders raise many types at malformed headers
        raise _unreadable(error, where) from error


def _decode(opened: Image.Image, where: str, color: Color) -> Image.Image:
    try:
        opened.load()
        return _converted(ImageOps.exif_transpose(opened), where, color)
    except UserError:
        raise
    except Exception as error:  # decoders raise many types at malformed pixels
        raise _unreadable(error, where) from error


def _unreadable(error: Exception, where: str) -> UserError:
    return UserError(f"cannot be decoded: {reason(error)}", where=where, remedy="save it again")


def _converted(image: Image.Image, where: str, color: Color) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        return _scale_16_bit(np.asarray(image), where).convert(color)
    if image.mode == "F":
        raise UserError(
            "its pixels are floats with no defined range", where=where, remedy="save it as 8-bit"
        )
    if color == "L" and image.mode != "L":  # from the colours as RGB has them, palettes included
        image = image.convert("RGB")
    return image.convert(color)


def _scale_16_bit(grey: np.ndarray, where: str) -> Image.Image:
    """Scale grey levels 0 to 65,535 to 0 to 255, rounded."""
    if grey.min() < 0 or grey.max() > _HIGHEST:
        raise UserError(
            "its grey levels exceed 16 bits", where=where, remedy="save it as 8-bit or 16-bit"
        )
    levels = np.rint(grey.astype(np.float32) * (255 / _HIGHEST)).astype(np.uint8)
    return Image.fromarray(levels)
