"""Cut-out pictures over photos, with exact boxes and masks: a data set to try detection,
segmentation and classification on, made as it is read.

As a data set of classes, each image shows one picture.

`objects` has the photographs of Tux Paint's stamps (Debian's package tuxpaint-stamps-default, which
is not redistributed), in eight classes; `digit-objects` has the digits of scikit-learn, and needs
no other package. Training and test images use different pictures, of objects and of backgrounds.
Each image is a function of the split and its index; classes are equally frequent, however many
pictures each has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from lolvit.drawing import palette
from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data import crops, digits
from lolvit_data.annotations import IGNORE, Mask, Objects
from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import Dataset, Split

Pixels = npt.NDArray[np.uint8]

COUNTS: Final[dict[Split, int]] = {"train": 4000, "test": 400}
HEIGHT, WIDTH = 240, 320
STAMPS = Path("/usr/share/tuxpaint/stamps")
STAMPS_VARIABLE = "LOLVIT_STAMPS"  # another folder with the package's stamps
# By class: folders of the package. Drawings, letters and symbols are left out.
CLASSES: dict[str, tuple[str, ...]] = {
    "bird": ("animals/birds",),
    "mammal": ("animals/mammals",),
    "fruit": ("food/fruit",),
    "vegetable": ("food/vegetables",),
    "flower": ("plants/flowers",),
    "vehicle": ("vehicles", "military/vehicles"),
    "instrument": ("hobbies/music",),
    "coin": ("symbols/money",),
}
BACKGROUND, _BACKGROUND_COLOR = "background", "#000000"
# Photos left out as backgrounds: those that show what `objects` has a class for; and, as weights
# trained on `digit-objects` are in the package, those whose terms are not plain (docs/photos.md).
_NO_BACKGROUNDS = {"objects": ("cat", "coins"), "digit-objects": ("moon", "rocket")}
_DRAWN = {"cartoon", "00_symbols"}  # folders; the latter has signs of currencies
_MIRRORED = "_mirror"  # ends the name of a picture that the package has the other way round too
_OTHER_THINGS = {"7spoke256", "ww2_german_gun"}  # among the vehicles: a wheel and a gun
_TEST_EVERY = 4  # of each class's pictures, and of the photos
_MOST, _SMALLEST, _LARGEST = 5, 40, 150  # objects, and their longer sides in pixels
SIDE = 128  # pixels, of images with one object
_SMALLEST_ALONE, _LARGEST_ALONE = 56, 92  # turned by 25 degrees, the largest still fits
_TURNED = 25.0  # degrees, at most, to either side
_VISIBLE = 0.4  # an object of which less can be seen is not annotated
_OPAQUE = 128
# Of a digit, which has 64 x 64 pixels: its outline's width, and the levels where a stroke begins
# and where it is solid.
_OUTLINE, _FAINT, _SOLID = 5, 72, 168
_LUMA = np.array([0.299, 0.587, 0.114])  # brightness of RGB, ITU-R BT.601


@dataclass(frozen=True)
class Cutout:
    """A picture (h, w, 4) in RGBA, cut to its opaque part, and its class."""

    pixels: Pixels
    label: int


@dataclass(frozen=True, eq=False)
class CutoutDataset:
    """Images of a split, with boxes or masks; a mask's first class is the background."""

    name: str
    task: str
    classes: tuple[str, ...]
    split: Split
    cutouts: tuple[Cutout, ...] = field(repr=False)
    backgrounds: tuple[Image.Image, ...] = field(repr=False)
    colors: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return COUNTS[self.split]

    def identifier(self, index: int) -> str:
        """Return the image's number."""
        return f"{index:05}"

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`, 320 x 240 pixels."""
        return Image.fromarray(self._scene(index)[0]).convert(color)

    def objects(self, index: int) -> Objects:
        """Return the boxes of what can be seen of each object."""
        _, owners, labels = self._scene(index)
        boxes, classes, areas = [], [], []
        for number, label in enumerate(labels):
            if label is None:
                continue
            rows, columns = np.nonzero(owners == number)
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            classes.append(label)
            areas.append(len(rows))
        return Objects.of(boxes, classes, areas=areas)

    def mask(self, index: int) -> Mask:
        """Return each pixel's class; what is hidden for the most part has none."""
        _, owners, labels = self._scene(index)
        values = [IGNORE if label is None else label + 1 for label in labels]
        table = np.array([*values, 0], np.uint8)  # the last: the background, owner -1
        return table[owners]

    @cached_property
    def _by_class(self) -> list[list[Cutout]]:
        return _by_class(self.cutouts)

    # Evaluation reads the objects of a batch after its images.
    @lru_cache(maxsize=32)  # noqa: B019 - data sets live as long as the process
    def _scene(self, index: int) -> tuple[Pixels, npt.NDArray[np.int8], list[int | None]]:
        """Return an image (H, W, 3), the number of the object at each pixel (-1: none), and the
        objects' classes, None where too little can be seen."""
        draw = np.random.default_rng((list(COUNTS).index(self.split), index))
        canvas = _background(self.backgrounds, draw, HEIGHT, WIDTH)
        owners = np.full((HEIGHT, WIDTH), -1, np.int8)
        labels: list[int | None] = []
        sizes: list[int] = []
        for number in range(int(draw.integers(1, _MOST + 1))):
            same = self._by_class[draw.integers(len(self._by_class))]
            cutout = same[draw.integers(len(same))]
            pixels = _scaled(cutout.pixels, draw, _SMALLEST, _LARGEST)
            height, width = pixels.shape[:2]
            top, left = draw.integers(HEIGHT - height + 1), draw.integers(WIDTH - width + 1)
            place = np.s_[top : top + height, left : left + width]
            _paste(canvas, place, pixels)
            opaque = pixels[..., 3] >= _OPAQUE
            owners[place][opaque] = number
            labels.append(cutout.label)
            sizes.append(int(opaque.sum()))
        seen = np.bincount(owners[owners >= 0], minlength=len(labels))
        visible = [
            label if seen[i] and seen[i] >= _VISIBLE * sizes[i] else None
            for i, label in enumerate(labels)
        ]
        return canvas, owners, visible


@dataclass(frozen=True, eq=False)
class SingleObjects:
    """Images of a split with one cut-out each, (128, 128) pixels, and its class. Classes, and the
    pictures of each, take turns."""

    name: str
    classes: tuple[str, ...]
    split: Split
    cutouts: tuple[Cutout, ...] = field(repr=False)
    backgrounds: tuple[Image.Image, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The class of each image."""
        return tuple(index % len(self.classes) for index in range(COUNTS[self.split]))

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`."""
        draw = np.random.default_rng((list(COUNTS).index(self.split), index))
        canvas = _background(self.backgrounds, draw, SIDE, SIDE)
        same = self._by_class[self.labels[index]]
        cutout = same[index // len(self.classes) % len(same)]
        pixels = _scaled(cutout.pixels, draw, _SMALLEST_ALONE, _LARGEST_ALONE)
        height, width = pixels.shape[:2]
        top, left = draw.integers(SIDE - height + 1), draw.integers(SIDE - width + 1)
        _paste(canvas, np.s_[top : top + height, left : left + width], pixels)
        return Image.fromarray(canvas).convert(color)

    @cached_property
    def _by_class(self) -> list[list[Cutout]]:
        return _by_class(self.cutouts)


def _by_class(cutouts: tuple[Cutout, ...]) -> list[list[Cutout]]:
    labels = sorted({cutout.label for cutout in cutouts})
    return [[cutout for cutout in cutouts if cutout.label == label] for label in labels]


def _paste(canvas: Pixels, place: tuple[slice, slice], pixels: Pixels) -> None:
    """Draw a picture in RGBA over a part of an image."""
    alpha = pixels[..., 3:].astype(np.float32) / 255
    canvas[place] = np.rint(canvas[place] * (1 - alpha) + pixels[..., :3] * alpha)


def _background(
    photos: tuple[Image.Image, ...], draw: np.random.Generator, height: int, width: int
) -> Pixels:
    """Return a random crop of a photo, scaled to (height, width, 3)."""
    photo = photos[draw.integers(len(photos))]
    scale = draw.uniform(0.5, 1) * min(photo.width / width, photo.height / height)
    right, bottom = width * scale, height * scale
    left, top = draw.uniform(0, photo.width - right), draw.uniform(0, photo.height - bottom)
    box = (left, top, left + right, top + bottom)
    crop = photo.resize((width, height), Image.Resampling.BILINEAR, box=box)
    pixels = np.array(crop)
    return pixels[:, ::-1].copy() if draw.random() < 0.5 else pixels


def _scaled(pixels: Pixels, draw: np.random.Generator, smallest: int, largest: int) -> Pixels:
    """Return a cut-out turned a little, its longer side random between two, before that."""
    side = draw.uniform(smallest, largest)
    angle = draw.uniform(-_TURNED, _TURNED)
    ratio = side / max(pixels.shape[:2])
    height, width = (max(8, round(extent * ratio)) for extent in pixels.shape[:2])
    scaled = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    # With its colours multiplied by alpha, what is transparent adds no colour to the edges.
    turned = scaled.convert("RGBa").rotate(angle, Image.Resampling.BILINEAR, expand=True)
    return np.asarray(turned.convert("RGBA"))


def load(source: str, split: Split, task: str) -> CutoutDataset:
    """Return a split of `objects` or `digit-objects`.

    Raises:
        UserError: the package with the pictures is not installed.
        ModuleNotFoundError: scikit-image or scikit-learn is not installed.
    """
    names, cutouts = SOURCES[source](split)
    photos = _photos(source, split)
    if task == "detection":
        return CutoutDataset(source, task, names, split, cutouts, photos)
    # Drawn on a photo, the background is darker and objects have the colours of their boxes.
    own = (f"#{bytes(color).hex()}" for color in palette(len(names)))
    colors = (_BACKGROUND_COLOR, *own)
    return CutoutDataset(source, task, (BACKGROUND, *names), split, cutouts, photos, colors)


def load_classes(source: str, split: Split) -> Dataset:
    """Return a split of `objects` or `digit-objects` as a data set of classes: 4,000 images to
    train on, 400 to test on, of pictures and backgrounds that the other split has not.

    Raises:
        UserError: the package with the pictures is not installed.
        ModuleNotFoundError: scikit-image or scikit-learn is not installed.
    """
    names, cutouts = SOURCES[source](split)
    return SingleObjects(source, names, split, cutouts, _photos(source, split))


@cache
def _photos(source: str, split: Split) -> tuple[Image.Image, ...]:
    names = [name for name in crops.PHOTOS if name not in _NO_BACKGROUNDS[source]]
    chosen = [name for i, name in enumerate(names) if _is_test(i) == (split == "test")]
    return tuple(bundled_photo(name) for name in chosen)


def _is_test(place: int) -> bool:
    return place % _TEST_EVERY == _TEST_EVERY - 1


@cache
def _digits(split: Split) -> tuple[tuple[str, ...], tuple[Cutout, ...]]:
    """Return the digits in colours, with outlines."""
    draw = np.random.default_rng(0)
    found = digits.load(split)
    cutouts = []
    for image, label in zip(found.images, found.labels, strict=True):
        color = draw.integers(0, 256, 3, dtype=np.uint8)
        cutouts.append(Cutout(_cut(_outlined(image, color)), label))
    return found.classes, tuple(cutouts)


def _outlined(digit: Image.Image, color: Pixels) -> Pixels:
    """Return a digit, bright on black, in a colour and with an outline of the opposite brightness
    (h, w, 4): without it many could not be seen, as a red one on something red."""
    margin = _OUTLINE + 1
    levels = ImageOps.expand(digit.convert("L"), margin).point(_as_stroke)
    outline = levels.filter(ImageFilter.MaxFilter(2 * _OUTLINE + 1))
    outline = outline.filter(ImageFilter.GaussianBlur(1))
    stroke = np.asarray(levels, np.float32)[..., None] / 255
    contrast = 0 if float(color @ _LUMA) > 127 else 255
    pixels = np.rint(stroke * color + (1 - stroke) * contrast)
    return np.dstack([pixels.astype(np.uint8), np.asarray(outline)])


def _as_stroke(level: int) -> int:
    """Return the opacity of a digit's level: upscaled smoothly, its edges are blurred."""
    return min(255, max(0, 255 * (level - _FAINT) // (_SOLID - _FAINT)))


@cache
def _stamps(split: Split) -> tuple[tuple[str, ...], tuple[Cutout, ...]]:
    root = Path(os.environ.get(STAMPS_VARIABLE, STAMPS))
    cutouts = []
    for label, (name, folders) in enumerate(CLASSES.items()):
        files = [
            path
            for folder in folders
            for path in sorted((root / folder).rglob("*.png"))
            if _shows_its_class(path.relative_to(root))
        ]
        if len(files) < _TEST_EVERY:
            raise UserError(
                f"has no pictures of the class {name}",
                where=str(root),
                remedy="install the Debian package tuxpaint-stamps-default, or unpack it with"
                f" dpkg -x and set {STAMPS_VARIABLE} to its folder usr/share/tuxpaint/stamps;"
                " digit-objects needs none",
            )
        for place, path in enumerate(files):
            if _is_test(place) == (split == "test"):
                cutouts += _opened(path, label)
    return tuple(CLASSES), tuple(cutouts)


def _shows_its_class(path: Path) -> bool:
    """Whether a file of the package is a photograph of its class. A picture and its mirror image
    might come into different splits."""
    if _DRAWN & set(path.parts) or path.stem.endswith(_MIRRORED):
        return False
    return path.stem not in _OTHER_THINGS


def _opened(path: Path, label: int) -> list[Cutout]:
    """Return a picture as a cut-out; none if it is opaque all over."""
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            image = opened.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"can't be read: {error}", where=str(path), remedy="install the package"
                        " again") from error  # fmt: skip
    image.thumbnail((2 * _LARGEST, 2 * _LARGEST), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    share = float((pixels[..., 3] >= _OPAQUE).mean())
    return [Cutout(_cut(pixels), label)] if 0 < share < 1 else []


def _cut(pixels: Pixels) -> Pixels:
    """Return the smallest part of a picture that has all its opaque pixels."""
    rows, columns = np.nonzero(pixels[..., 3] >= _OPAQUE)
    return pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].copy()


Loader = Callable[[Split], tuple[tuple[str, ...], tuple[Cutout, ...]]]
SOURCES: dict[str, Loader] = {"objects": _stamps, "digit-objects": _digits}
