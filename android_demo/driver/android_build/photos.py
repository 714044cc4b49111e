"""Photos for the tests: of preprocessing, made from one that scikit-image carries, and a digit."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from lolvit.manifest import Color
from lolvit_data import digits
from lolvit_data.bundled import bundled_photo
from lolvit_runtimes.photos import load_encoded

DIGIT = "digit-2.png"
SCENE = "scene.png"
_DIGIT_CLASS, _DIGIT_INDEX = 2, 3
_ORIENTATION = 0x0112  # the EXIF tag
_COLORANTS = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
    b"wtpt": (0.96420, 1.0, 0.82491),
}
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_ICC_HEADER = 128


@dataclass(frozen=True)
class Photo:
    """An encoded photo; by how many levels a phone's decoder may differ from Pillow; its
    subsampling: every pixel (1), or every second one in each direction (2)."""

    name: str
    data: bytes
    tolerance: int = 0
    subsampling: int = 1
    _decoded: dict[str, Image.Image] = field(default_factory=dict, compare=False, repr=False)

    def decoded(self, color: Color = "RGB") -> Image.Image:
        """Return it upright, as Python decodes it for models of a colour mode."""
        if color not in self._decoded:
            self._decoded[color] = load_encoded(self.data, self.name, color)
        return self._decoded[color]


def make_photos(*, subsampled: bool = True) -> list[Photo]:
    """Return all photos, each under a name of its own; those that phones subsample only if they are
    `subsampled`."""
    rgb = bundled_photo("coffee")
    makers = (_sizes, _modes, _formats, _orientations, _large, *([_subsampled] * subsampled))
    photos = [photo for maker in makers for photo in maker(rgb)]
    assert len({photo.name for photo in photos}) == len(photos)
    return photos


def tall_photo() -> Photo:
    """Return one that shrinks so much more in height than in width that Pillow resizes its columns
    first."""
    return _png("tall", bundled_photo("coffee").resize((97, 611)))


def digit() -> bytes:
    """Return a handwritten digit as PNG: a test image of the set that `lolvit_xx.digits` was
    trained on, for the app's pictures."""
    test = digits.load("test")
    twos = [i for i, label in zip(test.images, test.labels, strict=True) if label == _DIGIT_CLASS]
    return _encoded(twos[_DIGIT_INDEX], "PNG")


def scene() -> bytes:
    """Return a photo with red and blue things in it, as PNG."""
    return _encoded(bundled_photo("astronaut"), "PNG")


def _sizes(rgb: Image.Image) -> Iterator[Photo]:
    """Odd, tiny and elongated sizes, and the input's own."""
    yield _png("full", rgb)
    for width, height in [
        *((1, 1), (3, 2), (2, 7), (17, 40), (64, 64), (97, 65), (256, 256)),
        *((301, 451), (451, 301), (293, 293), (900, 30), (30, 900)),
    ]:
        yield _png(f"size-{width}x{height}", rgb.resize((width, height)))


def _modes(rgb: Image.Image) -> Iterator[Photo]:
    """Grey, palette, transparency."""
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
    yield _jpeg("display-p3", small, quality=90, icc_profile=_display_p3())
    yield _png("display-p3", small, icc_profile=_display_p3())


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
    """Of a phone's size: 12 megapixels, decoded whole."""
    large = rgb.resize((4000, 3000))
    yield _png("12-megapixels", large, compress_level=1)
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    yield _jpeg("12-megapixels-turned", large, quality=90, exif=turned)


def _subsampled(rgb: Image.Image) -> Iterator[Photo]:
    """Of 24 megapixels, which are subsampled."""
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


def _display_p3() -> bytes:
    """Return a colour profile as phones write it into photos: Display P3, ICC version 2.

    The colorants are Display P3's primaries adapted to D50; the curve is sRGB's, as ICC.1:2010
    encodes a parametric one (type 3).
    """
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(_CURVE)
    tags = {name: b"XYZ " + bytes(4) + _fixed(xyz) for name, xyz in _COLORANTS.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    body, table = b"", struct.pack(">I", len(tags))
    start = _ICC_HEADER + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    return _icc_header(start + len(body)) + table + body


def _icc_header(size: int) -> bytes:
    """Return the 128 bytes: a display's profile from RGB to XYZ under D50."""
    kind = struct.pack(">II", size, 0) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ "
    date, rest = struct.pack(">6H", 2026, 1, 1, 0, 0, 0), bytes(28)
    return (kind + date + b"acsp" + rest + _fixed(_COLORANTS[b"wtpt"])).ljust(_ICC_HEADER, b"\0")


def _fixed(values: tuple[float, ...]) -> bytes:
    """Return numbers as ICC's s15Fixed16."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
