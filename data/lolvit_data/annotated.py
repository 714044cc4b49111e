"""Which data sets with boxes or masks there are, and the way to open one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lolvit.errors import UserError
from lolvit_data import (
    bdd100k,
    cityscapes,
    coco,
    deepforest,
    masked_photos,
    objects,
    voc,
    voc_masks,
    yolo,
)
from lolvit_data.annotations import AnnotatedDataset, AnnotatedSubset
from lolvit_data.dataset import Split
from lolvit_data.splits import HELD_OUT_EVERY

_LAYOUTS = {
    "detection": "annotations/instances_train2017.json, as COCO has it, with data.yaml, as YOLO's"
    " trainers have it, or with an XML file beside each image, as Pascal VOC has them",
    "segmentation": "labels/sem_seg/masks or labels/drivable/masks, as BDD100K has it, in the"
    " layout of Cityscapes, Pascal VOC or Roboflow, or with images/, masks/ and classes.txt, which"
    " has a class's name in each line",
}


def open_annotated(source: str, split: Split, task: str) -> AnnotatedDataset:
    """Return a split of `objects`, `digit-objects`, `deepforest`, or of a folder: in COCO's,
    Roboflow's, VOC's or YOLO's layout, or a YAML file of the last (detection); in BDD100K's
    (FOLDER#sem_seg or FOLDER#drivable where it has both), Cityscapes', VOC's or Roboflow's, or with
    images/ and masks/ (segmentation). Of one without a test split every fifth image is a test
    image.

    Raises:
        UserError: there is no such data set, it is not for the task, or not laid out as it has to
            be.
        ModuleNotFoundError: a package that carries it is not installed.
    """
    if source in objects.SOURCES:
        return objects.load(source, split, task)
    if source == deepforest.NAME:
        if task != "detection":
            raise UserError(f"has no masks for {task}", where=source, remedy="train a detector")
        return deepforest.load(split)
    if (folder := _folder(source, task)) is not None:
        return folder.open(split)
    root = Path(source.partition("#")[0])
    if not root.is_dir():
        raise UserError(
            "is a file" if root.exists() else "no such data set for detection or segmentation",
            where=source,
            remedy=f"give {', '.join((*objects.SOURCES, deepforest.NAME))}, or a folder",
        )
    raise UserError(f"is no data set for {task}", where=source,
                    remedy=f"give a folder with {_LAYOUTS[task]}")  # fmt: skip


def annotated_images(source: str, split: Split, task: str | None = None) -> AnnotatedDataset | None:
    """Return a split of a data set for its images, with the annotations of `task` where it has
    them, or else with others; None if `source` is no data set with boxes or masks, or one that has
    classes for a classifier.

    Raises:
        UserError: it is not laid out as it has to be.
    """
    if source in objects.SOURCES:
        if task == "classification":
            return None  # they have classes for it
        kind = "segmentation" if task == "segmentation" else "detection"
        return open_annotated(source, split, kind)
    if source == deepforest.NAME:
        return deepforest.load(split)
    for kind in sorted(_LAYOUTS, key=lambda kind: kind != task):
        if (folder := _folder(source, kind)) is not None:
            return folder.open(split)
    return None


@dataclass(frozen=True)
class _Folder:
    """What opens the splits of a folder."""

    load: Callable[[Split], AnnotatedDataset]
    has_test: bool = True

    def open(self, split: Split) -> AnnotatedDataset:
        """Return a split; where there is no test split, every fifth image is one."""
        if self.has_test:
            return self.load(split)
        whole = self.load("train")
        held_out = range(HELD_OUT_EVERY - 1, len(whole), HELD_OUT_EVERY)
        if not held_out:
            raise UserError(
                f"has no test split, and only {len(whole)} images to hold some out of",
                where=whole.name, remedy=f"add images, at least {HELD_OUT_EVERY}",
            )  # fmt: skip
        indices = held_out if split == "test" else sorted({*range(len(whole))} - {*held_out})
        note = f"no test split: every fifth image is one, {len(held_out)} of {len(whole)}"
        return AnnotatedSubset(whole, tuple(indices), (note,))


def _folder(source: str, task: str) -> _Folder | None:
    """Return what opens a folder, or a file that describes one, for a task; None if it is none."""
    name, _, kind = source.partition("#")
    root = Path(name)
    if task == "detection":
        if root.is_dir() and coco.is_coco(root):
            return _Folder(partial(coco.load, root), coco.has_test(root))
        if root.exists() and (path := yolo.configuration(root)) is not None:
            return _Folder(partial(yolo.load, path), yolo.has_test(path))
        if root.is_dir() and voc.is_voc(root):
            return _Folder(partial(voc.load, root), voc.has_test(root))
    elif root.is_dir():
        if bdd100k.is_bdd100k(root):
            return _Folder(partial(bdd100k.load, root, kind=kind or None))
        if cityscapes.is_cityscapes(root):
            return _Folder(partial(cityscapes.load, root))
        if voc_masks.is_voc_masks(root):
            return _Folder(partial(voc_masks.load, root), voc_masks.has_test(root))
        if masked_photos.is_masked(root):
            return _Folder(partial(masked_photos.load, root), masked_photos.has_test(root))
    return None
