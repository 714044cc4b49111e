"""Draw predictions on a photo, with Pillow."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]
_HUE_STEP = 0.61803398875  # the golden ratio's inverse: neighbouring classes differ most
_OPACITY = 0.55  # of a map of classes


@runtime_checkable
class Drawable(Protocol):
    """A prediction that can be drawn."""

    def draw(self, photo: Image.Image) -> Image.Image:
        """Return a copy of the photo with the prediction drawn on it."""


def palette(count: int, colors: Sequence[str] | None = None) -> list[RGB]:
    """Return the colours of `count` classes: `colors` (#rrggbb) where given, else distinct ones."""
    if colors is not None:
        return [_parsed(color) for color in colors]
    return [_generated(index) for index in range(count)]


def _parsed(color: str) -> RGB:
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def _generated(index: int) -> RGB:
    rgb = colorsys.hsv_to_rgb((index * _HUE_STEP) % 1, 0.75, 0.95)
    red, green, blue = (round(255 * part) for part in rgb)
    return red, green, blue


def draw_box(
    photo: Image.Image, box: tuple[float, float, float, float], text: str, color: RGB
) -> None:
    """Draw a box (left, top, right, bottom, in pixels) with a text at its top, in place."""
    draw = ImageDraw.Draw(photo)
    line = max(2, round(min(photo.size) / 250))
    draw.rectangle([box[0], box[1], max(box[0], box[2] - 1), max(box[1], box[3] - 1)],
                   outline=color, width=line)  # fmt: skip
    font = ImageFont.load_default(size=max(10, min(photo.size) / 32))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    height = bottom - top + 2 * line
    y = box[1] - height if box[1] >= height else box[1]
    draw.rectangle([box[0], y, box[0] + right - left + 2 * line, y + height], fill=color)
    dark = sum(color) < 380
    draw.text((box[0] + line - left, y + line - top), text, font=font,
              fill=(255, 255, 255) if dark else (0, 0, 0))  # fmt: skip


def draw_map(
    photo: Image.Image, classes: npt.NDArray[np.uint8], colors: Sequence[RGB], ignore: int
) -> Image.Image:
    """Return the photo with each pixel's class (H, W) as a translucent colour; pixels of `ignore`
    stay as they are."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    drawn = photo.convert("RGB")
    colored = Image.fromarray(classes)
    colored.putpalette(table.tobytes())
    mixed = Image.blend(drawn, colored.convert("RGB"), _OPACITY)
    return Image.composite(mixed, drawn, Image.fromarray(classes != ignore))
