"""BDD100K's masks: images/{10k,100k}/{train,val}/NAME.jpg with labels/sem_seg/masks/{train,val}/
NAME.png (19 classes), or labels/drivable/masks/… (direct, alternative, background).

Masks have one channel of class numbers; 255 is ignored. Images and masks are paired by their name
without suffix: some have no counterpart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data.annotations import Mask, WithoutObjects
from lolvit_data.dataset import Split
from lolvit_runtimes.photos import load_photo

SEMANTIC, DRIVABLE = "sem_seg", "drivable"
_SPLITS: dict[Split, str] = {"train": "train", "test": "val"}
_SETS = {SEMANTIC: ("10k", "100k"), DRIVABLE: ("100k", "10k")}  # folders of images
# Names and colours of Cityscapes, whose train ids BDD100K uses.
_SEMANTIC_CLASSES = {
    "road": "#804080", "sidewalk": "#f423e8", "building": "#464646", "wall": "#66669c",
    "fence": "#be9999", "pole": "#999999", "traffic light": "#faaa1e", "traffic sign": "#dcdc00",
    "vegetation": "#6b8e23", "terrain": "#98fb98", "sky": "#4682b4", "person": "#dc143c",
    "rider": "#ff0000", "car": "#00008e", "truck": "#000046", "bus": "#003c64",
    "train": "#005064", "motorcycle": "#0000e6", "bicycle": "#770b20",
}  # fmt: skip
_DRIVABLE_CLASSES = {"direct": "#db5e56", "alternative": "#56b4db", "background": "#000000"}
CLASSES = {SEMANTIC: _SEMANTIC_CLASSES, DRIVABLE: _DRIVABLE_CLASSES}


@dataclass(frozen=True)
class BddDataset(WithoutObjects):
    """The images of a split that have a mask."""

    name: str
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    pairs: tuple[tuple[Path, Path], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def identifier(self, index: int) -> str:
        """Return the image's file name without suffix."""
        return self.pairs[index][0].stem

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it can't be read; the message names it.
        """
        return load_photo(self.pairs[index][0], color)

    def mask(self, index: int) -> Mask:
        """Return an image's classes. Of a mask with a palette these are its indices.

        Raises:
            UserError: it can't be read, has a class that does not exist, or another size than its
                image.
        """
        photo, path = self.pairs[index]
        try:
            with Image.open(path, formats=["PNG"]) as opened:
                mask = np.asarray(opened)
            with Image.open(photo) as opened:
                size = opened.height, opened.width
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"can't be read: {error}", where=str(path), remedy="download it again"
                            ) from error  # fmt: skip
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise UserError(
                f"is a picture of {mask.dtype} {mask.shape}, not of class numbers", where=str(path),
                remedy="give the folder masks, not colormaps",
            )  # fmt: skip
        if mask.shape != size:
            raise UserError(
                f"has {mask.shape[1]}x{mask.shape[0]} pixels, its image {size[1]}x{size[0]}",
                where=str(path), remedy="give the masks of these images",
            )  # fmt: skip
        wrong = np.setdiff1d(mask, [*range(len(self.classes)), 255])
        if len(wrong):
            raise UserError(
                f"has the class {wrong[0]}, there are {len(self.classes)}", where=str(path),
                remedy="give masks of train ids",
            )  # fmt: skip
        return mask


def is_bdd100k(root: Path) -> bool:
    """Whether a folder has masks as BDD100K has them."""
    return any((root / "labels" / kind / "masks").is_dir() for kind in CLASSES)


def load(root: Path, split: Split, kind: str | None = None) -> BddDataset:
    """Pair the images and masks of a split; none is opened. `kind` is "sem_seg" or "drivable"; by
    default the one that is there.

    Raises:
        UserError: a folder is missing, both kinds are there, or no image has a mask.
    """
    kinds = [each for each in CLASSES if (root / "labels" / each / "masks").is_dir()]
    if kind is None and len(kinds) > 1:
        raise UserError(
            f"has masks of {' and '.join(kinds)}", where=str(root),
            remedy=f"give {root}#{SEMANTIC} or {root}#{DRIVABLE}",
        )  # fmt: skip
    chosen = kind or next(iter(kinds), SEMANTIC)
    if chosen not in kinds:
        raise UserError(
            f"has no labels/{chosen}/masks", where=str(root),
            remedy=f"it has {' and '.join(kinds) or 'none of ' + ' and '.join(CLASSES)}",
        )  # fmt: skip
    name = _SPLITS[split]
    masks = root / "labels" / chosen / "masks" / name
    folders = [root / "images" / each / name for each in _SETS[chosen]]
    images = next((folder for folder in folders if folder.is_dir()), None)
    if images is None or not masks.is_dir():
        missing = masks if images is not None else folders[0]
        raise UserError(f"has no {missing.relative_to(root)}", where=str(root),
                        remedy="lay it out as the download is")  # fmt: skip
    by_stem = {path.stem: path for path in sorted(images.glob("*.jpg"))}
    targets = {path.stem: path for path in sorted(masks.glob("*.png"))}
    both = sorted(by_stem.keys() & targets.keys())
    if not both:
        raise UserError(
            f"none of {len(by_stem)} images has one of {len(targets)} masks", where=str(images),
            remedy="images and masks have the same name but for the suffix",
        )  # fmt: skip
    classes = CLASSES[chosen]
    return BddDataset(
        f"{root.name}#{chosen}",
        tuple(classes),
        tuple(classes.values()),
        tuple((by_stem[stem], targets[stem]) for stem in both),
        _notes(len(by_stem) - len(both), len(targets) - len(both)),
    )


def _notes(images: int, masks: int) -> tuple[str, ...]:
    lines = ((images, "images have no mask"), (masks, "masks have no image"))
    return tuple(f"{count} {what}, left out" for count, what in lines if count)
