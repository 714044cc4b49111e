"""Decode photos of any supported format to RGB, grey or RGBA, with Pillow and numpy."""

from __future__ import annotations

import importlib.util
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_runtimes.native import reason

# Pillow supports more, but some through external programs (EPS) or as several images.
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
# Suffixes of images that Pillow does not read without a plugin, or (raw photos) only as a preview.
UNREAD_SUFFIXES = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf",
     ".rw2", ".svg", ".psd"}
)  # fmt: skip
_AS_JPEG = "save it as JPEG"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_BUNDLED = "astronaut.png"  # scikit-image carries it
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_HIGHEST = 65535
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # of EXIF: by 90 or 270 degrees, mirrored or not


def load_photo(source: Path | Image.Image, color: Color = "RGB") -> Image.Image:
    """Return a photo as 8-bit RGB (or another `color`), with its EXIF orientation applied.

    The first frame of an animation. For RGB and L, the alpha channel is dropped and the colours are
    kept, as training loaders do with `Image.convert("RGB")`. Unlike there, a 16-bit grey photo is
    scaled to 8 bits, not clipped to white.

    Raises:
        UserError: there is no such file; it is not a photo, truncated, or too large to decode; it
            has a pixel format without a defined range.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # large but allowed; odd EXIF; palette transparency
        if isinstance(source, Image.Image):
            return _decode(source, "photo", color)
        if not source.is_file():  # a pipe would block, a folder or a device is no photo
            what = "not a file" if source.exists() else "no such photo"
            raise UserError(what, where=str(source), remedy="give the path of a JPEG or PNG photo")
        return _open(source, str(source), color)


def bundled_photo_path() -> Path | None:
    """Return the path of scikit-image's photo of an astronaut; None if it is not installed."""
    spec = importlib.util.find_spec("skimage")
    folders = (spec.submodule_search_locations or []) if spec else []
    paths = (Path(folder) / "data" / _BUNDLED for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def is_photo(path: Path) -> bool:
    """Whether a file has the header of a format that `load_photo` reads; its pixels are not
    decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=PHOTO_FORMATS).close()
    except Exception:  # noqa: BLE001 - decoders raise many types at malformed headers
        return False
    return True


def photo_size(path: Path) -> tuple[int, int]:
    """Return the width and height that `load_photo` gives a photo; its pixels are not decoded.

    Raises:
        UserError: there is no such file, or it has no photo's header.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=PHOTO_FORMATS) as opened:
                turned = opened.getexif().get(_ORIENTATION) in _TURNED
                width, height = opened.size
        except Exception as error:  # decoders raise many types at malformed headers
            raise _unreadable(error, str(path)) from error
    return (height, width) if turned else (width, height)


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
        raise _unidentified(source, where) from error
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
    remedy = "save it again"
    if isinstance(error, Image.DecompressionBombError):
        remedy = (
            f"scale it down to at most {2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} megapixels"
        )
    return UserError(f"cannot be decoded: {reason(error)}", where=where, remedy=remedy)


def _unidentified(source: Path | io.BytesIO, where: str) -> UserError:
    """Return the error for a file in none of the formats, with what its header shows it to be."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            head = stream.read(16)
    else:
        head = source.getvalue()[:16]
    if not head:
        return UserError("is empty", where=where, remedy="fetch it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return UserError(
            "is a HEIC photo, which is not read", where=where, remedy="save it as JPEG"
        )
    known = ", ".join(PHOTO_FORMATS)
    return UserError(
        "is not a photo in a supported format", where=where, remedy=f"supported: {known}"
    )


def _converted(image: Image.Image, where: str, color: Color) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        return _scale_16_bit(np.asarray(image), where).convert(color)
    if image.mode == "F":
        raise UserError(
            "its pixels are floats without a defined range", where=where, remedy="save it as 8-bit"
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
