"""Photos for the tests of preprocessing, made from one that scikit-image carries."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from android_build.icc import display_p3
from lolvit_data.bundled import bundled_photo

_ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True)
class Photo:
    """An encoded photo, by how many levels a phone may differ from Pillow, and whether it decodes
    every pixel (1) or every second one in each direction (2)."""

    name: str
    data: bytes
    tolerance: int = 0
    subsampling: int = 1


def make_photos() -> list[Photo]:
    """Return all photos, each under a name of its own."""
    rgb = bundled_photo("coffee")
    makers = (_sizes, _modes, _formats, _orientations, _large)
    photos = [photo for maker in makers for photo in maker(rgb)]
    assert len({photo.name for photo in photos}) == len(photos)
    return photos


def _sizes(rgb: Image.Image) -> Iterator[Photo]:
    """Odd, tiny, elongated, exactly the input's."""
    yield _png("full", rgb)
    for width, height in [
        *((1, 1), (3, 2), (2, 7), (17, 40), (64, 64), (97, 65), (256, 256)),
        *((301, 451), (451, 301), (293, 293), (900, 30), (30, 900)),
    ]:
        yield _png(f"size-{width}x{height}", rgb.resize((width, height)))


def _modes(rgb: Image.Image) -> Iterator[Photo]:
    """Grey, palette, transparency: what Pillow stores them as."""
    small = rgb.resize((151, 103))
    grey = small.convert("L")
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 151).astype(np.uint8), (103, 1)))
    see_through = small.copy()
    see_through.putalpha(ramp)
    yield _png("grey", grey)
    yield _png("grey-alpha", Image.merge("LA", (grey, ramp)))
    yield _png("alpha", see_through)
    yield _png("one-bit", grey.convert("1"))
    palette = small.quantize(64)
    yield _png("palette", palette)
    yield _png("palette-transparent", palette, transparency=bytes(range(0, 256, 4)))
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    yield Photo("sixteen-bit-grey.png", _encoded(sixteen, "PNG"), tolerance=1)


def _formats(rgb: Image.Image) -> Iterator[Photo]:
    small = rgb.resize((333, 222))
    yield Photo("lossless.webp", _encoded(small, "WEBP", lossless=True))
    yield Photo("lossy.webp", _encoded(small, "WEBP", quality=90), tolerance=1)
    yield Photo("photo.bmp", _encoded(small, "BMP"))
    yield Photo("photo.gif", _encoded(small.quantize(128), "GIF"))
    for name, options in {
        "quality-92": {"quality": 92},
        "quality-50": {"quality": 50},
        "full-chroma": {"quality": 95, "subsampling": 0},
        "progressive": {"quality": 90, "progressive": True},
    }.items():
        yield _jpeg(name, small, **options)
    yield _jpeg("grey", small.convert("L"), quality=90)
    yield _jpeg("display-p3", small, quality=90, icc_profile=display_p3())
    yield _png("display-p3", small, icc_profile=display_p3())


def _orientations(rgb: Image.Image) -> Iterator[Photo]:
    small = rgb.resize((120, 80))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        yield _jpeg(f"exif-{orientation}", small, quality=95, exif=exif)
        yield _png(f"exif-{orientation}", small, exif=exif)
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    yield Photo("exif-6.webp", _encoded(small, "WEBP", lossless=True, exif=turned))


def _large(rgb: Image.Image) -> Iterator[Photo]:
    """As phones take them: decoded whole, and beyond what is."""
    large = rgb.resize((4000, 3000))
    yield _png("12-megapixels", large, compress_level=1)
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    yield _jpeg("12-megapixels-turned", large, quality=90, exif=turned)
    mosaic = Image.fromarray(np.tile(np.asarray(rgb), (10, 10, 1)))  # 6000x4000, unsmoothed
    encoded = _encoded(mosaic, "JPEG", quality=90)
    yield Photo("24-megapixels.jpg", encoded, tolerance=8, subsampling=2)


def _png(name: str, image: Image.Image, **options: object) -> Photo:
    return Photo(f"{name}.png", _encoded(image, "PNG", **options))


def _jpeg(name: str, image: Image.Image, **options: object) -> Photo:
    return Photo(f"{name}.jpg", _encoded(image, "JPEG", **options), tolerance=1)


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    save: Callable[..., None] = image.save
    save(stream, format, **options)
    return stream.getvalue()
