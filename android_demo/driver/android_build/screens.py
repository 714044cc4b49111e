"""The docs' pictures of the app: screens that its tests rendered, side by side, in a palette."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.errors import GateFailedError, UserError
from lolvit.files import write_atomic

# A picture of the docs, and the screens in it from left to right, as the tests name them.
PICTURES: dict[str, tuple[str, ...]] = {
    "android-main": ("main-empty", "main-light", "main-dark"),
    "android-tasks": ("main-boxes", "main-mask"),
    "android-access": ("main-large", "main-large-scrolled", "main-rtl"),
    "android-failures": ("main-untrained", "main-problem", "main-no-model"),
    "android-tablet": ("main-tablet",),
}
BUDGET = 300_000  # bytes a picture
_HEIGHT = 1000  # pixels of each screen
_GAP = 24
_BEHIND = (128, 136, 144)
_COLOURS = 256
_EXACT = 48  # of them: the most frequent ones, kept exactly

Numbers = npt.NDArray[np.int64]


def write_pictures(screens: Path, target: Path) -> dict[str, int]:
    """Write every picture into `target`, and return their sizes in bytes.

    Raises:
        UserError: the tests did not render a screen.
        GateFailedError: a picture is over the budget.
    """
    written = {}
    for name, parts in PICTURES.items():
        data = _encoded(_side_by_side([_open(screens / f"{part}.png") for part in parts]))
        if len(data) > BUDGET:
            raise GateFailedError(f"{name}.png has {len(data)} bytes, the limit is {BUDGET}")
        write_atomic(target / f"{name}.png", data)
        written[name] = len(data)
    return written


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as screen:
            return screen.convert("RGB")
    except FileNotFoundError as error:
        raise UserError(
            "no such screen", where=str(path), remedy="run: python android_demo/driver test"
        ) from error


def _side_by_side(screens: Sequence[Image.Image]) -> Image.Image:
    scaled = [s.resize((s.width * _HEIGHT // s.height, _HEIGHT)) for s in screens]
    width = sum(s.width for s in scaled) + _GAP * (len(scaled) + 1)
    picture = Image.new("RGB", (width, _HEIGHT + 2 * _GAP), _BEHIND)
    left = _GAP
    for screen in scaled:
        picture.paste(screen, (left, _GAP))
        left += screen.width + _GAP
    return picture


def _encoded(picture: Image.Image) -> bytes:
    pixels = np.asarray(picture)
    packed = pixels @ np.array([1 << 16, 1 << 8, 1])
    colours, counts, inverse = _counted(packed)
    palette = _palette(picture, colours[np.argsort(-counts)[:_EXACT]])
    distances = np.stack([np.square(colours - entry).sum(1) for entry in palette], 1)
    nearest = distances.argmin(1).astype(np.uint8)
    few = Image.fromarray(nearest[inverse].reshape(packed.shape))
    few.putpalette(palette.astype(np.uint8).tobytes())
    stream = io.BytesIO()
    few.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _counted(packed: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return the colours (n, 3), how often each is there, and each pixel's place among them."""
    values, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    return np.stack([values >> 16, values >> 8 & 255, values & 255], 1), counts, inverse


def _palette(picture: Image.Image, common: Numbers) -> Numbers:
    """Return a palette that contains the most frequent colours exactly."""
    rest = picture.quantize(_COLOURS - len(common), Image.Quantize.MAXCOVERAGE).getpalette() or []
    return np.concatenate([common, np.array(rest).reshape(-1, 3)])
