"""Cityscapes' masks: leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png with
gtFine/{train,val}/CITY/NAME_gtFine_labelIds.png, or …_labelTrainIds.png, which its scripts make.

Of the 34 ids 19 are classes (Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene
Understanding", CVPR 2016); the others have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lolvit.errors import UserError
from lolvit_data import bdd100k
from lolvit_data.annotations import IGNORE, SPLITS
from lolvit_data.dataset import Split
from lolvit_data.masked_photos import Endings, MaskedPhotos, Values, paired

_IMAGES, _MASKS = "leftImg8bit", "gtFine"
_TRAIN_IDS, _IDS = "_gtFine_labelTrainIds", "_gtFine_labelIds"
# The ids in the order of the classes' numbers.
_CLASS_IDS: Final = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_ID_COUNT: Final = 34
_CLASSES: Final = bdd100k.CLASSES[bdd100k.SEMANTIC]


def is_cityscapes(root: Path) -> bool:
    """Whether a folder has images and masks as Cityscapes has them."""
    return (root / _IMAGES).is_dir() and (root / _MASKS).is_dir()


def load(root: Path, split: Split) -> MaskedPhotos:
    """Pair the images and masks of a split, `val` for the test split; none is opened.

    Raises:
        UserError: a folder is missing, or no image has a mask.
    """
    images, masks = (root / kind / SPLITS[split][0] for kind in (_IMAGES, _MASKS))
    for folder in (images, masks):
        if not folder.is_dir():
            raise UserError(f"has no {folder.relative_to(root)}", where=str(root),
                            remedy="lay it out as the download is")  # fmt: skip
    train_ids = any(masks.rglob(f"*{_TRAIN_IDS}.png"))
    ids = dict.fromkeys(range(_ID_COUNT), IGNORE) | {IGNORE: IGNORE}
    ids |= {value: number for number, value in enumerate(_CLASS_IDS)}
    return paired(
        root.name, images, masks, tuple(_CLASSES), tuple(_CLASSES.values()),
        endings=Endings(f"_{_IMAGES}", _TRAIN_IDS if train_ids else _IDS),
        values=None if train_ids else Values(ids, of_colors=False, source="Cityscapes"),
    )  # fmt: skip
