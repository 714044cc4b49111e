"""Image sizes: 256, or 192x320 for height x width; and how a photo is fitted to one."""

from __future__ import annotations

import re
from typing import Literal, get_args

from lolvit.errors import UserError

Resize = Literal["crop", "stretch", "letterbox"]  # see lolvit.manifest.Preprocessing
RESIZES: tuple[Resize, ...] = get_args(Resize)
SMALLEST, LARGEST = 8, 4096


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) in pixels.

    Raises:
        UserError: it is not one or two numbers, or is outside of 8 to 4096 pixels.
    """
    match = re.fullmatch(r"(\d{1,6})(?:[xX](\d{1,6}))?", text.strip(), re.ASCII)
    if match is None:
        raise UserError(f"'{text}' is no size", remedy="write 256, or 192x320 for height x width")
    height = int(match[1])
    width = int(match[2]) if match[2] else height
    if not (min(height, width) >= SMALLEST and max(height, width) <= LARGEST):
        raise UserError(
            f"size {height}x{width} is out of range",
            remedy=f"choose {SMALLEST} to {LARGEST} pixels a side",
        )
    return height, width
