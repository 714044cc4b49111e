"""Which data sets with boxes or masks there are, and the way to open one."""

from __future__ import annotations

from pathlib import Path

from lolvit.errors import UserError
from lolvit_data import bdd100k, coco, deepforest, objects
from lolvit_data.annotations import AnnotatedDataset
from lolvit_data.dataset import Split


def open_annotated(source: str, split: Split, task: str) -> AnnotatedDataset:
    """Return a split of `objects`, `digit-objects`, `deepforest`, a folder in COCO's format
    (detection) or in BDD100K's (segmentation; FOLDER#sem_seg or FOLDER#drivable where it has both).

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
    folder, _, kind = source.partition("#")
    root = Path(folder)
    if not root.is_dir():
        raise UserError(
            "is a file" if root.exists() else "no such data set for detection or segmentation",
            where=source,
            remedy=f"give {', '.join((*objects.SOURCES, deepforest.NAME))}, or a folder",
        )
    if task == "detection" and coco.is_coco(root):
        return coco.load(root, split)
    if task == "segmentation" and bdd100k.is_bdd100k(root):
        return bdd100k.load(root, split, kind or None)
    layouts = {
        "detection": "annotations/instances_train2017.json, as COCO has it",
        "segmentation": "labels/sem_seg/masks or labels/drivable/masks, as BDD100K has it",
    }
    raise UserError(f"is no data set for {task}", where=source,
                    remedy=f"give a folder with {layouts[task]}")  # fmt: skip


def annotated_images(source: str, split: Split, task: str | None = None) -> AnnotatedDataset | None:
    """Return a split of a data set for its images, with the annotations of `task` where it has
    them, or else with others; None if `source` is no data set with boxes or masks, or one that has
    classes for a classifier.

    Raises:
        UserError: it is not laid out as it has to be.
    """
    root = Path(source.partition("#")[0])
    if source in objects.SOURCES:
        if task == "classification":
            return None  # they have classes for it
        kind = "segmentation" if task == "segmentation" else "detection"
        return open_annotated(source, split, kind)
    if source == deepforest.NAME:
        return deepforest.load(split)
    if root.is_dir() and coco.is_coco(root):
        return open_annotated(source, split, "detection")
    if root.is_dir() and bdd100k.is_bdd100k(root):
        return open_annotated(source, split, "segmentation")
    return None
