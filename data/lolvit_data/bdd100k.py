"""BDD100K's masks: images/{10k,100k}/{train,val}/NAME.jpg with labels/sem_seg/masks/{train,val}/
NAME.png (19 classes), or labels/drivable/masks/… (direct, alternative, background).

Masks have one channel of class numbers; 255 is ignored. Images and masks are paired by their name
without suffix: some have no counterpart.
"""

from __future__ import annotations

from pathlib import Path

from lolvit.errors import UserError
from lolvit_data.annotations import SPLITS
from lolvit_data.dataset import Split
from lolvit_data.masked_photos import MaskedPhotos, paired

SEMANTIC, DRIVABLE = "sem_seg", "drivable"
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


def is_bdd100k(root: Path) -> bool:
    """Whether a folder has masks as BDD100K has them."""
    return any((root / "labels" / kind / "masks").is_dir() for kind in CLASSES)


def load(root: Path, split: Split, kind: str | None = None) -> MaskedPhotos:
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
    name = SPLITS[split][0]
    masks = root / "labels" / chosen / "masks" / name
    folders = [root / "images" / each / name for each in _SETS[chosen]]
    images = next((folder for folder in folders if folder.is_dir()), None)
    if images is None or not masks.is_dir():
        missing = masks if images is not None else folders[0]
        raise UserError(f"has no {missing.relative_to(root)}", where=str(root),
                        remedy="lay it out as the download is")  # fmt: skip
    classes = CLASSES[chosen]
    return paired(f"{root.name}#{chosen}", images, masks, tuple(classes), tuple(classes.values()))
