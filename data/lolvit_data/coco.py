"""COCO's format of boxes (see `coco_files` for the names of files).

Class ids have gaps (1 to 90 for 80 classes): they are mapped to 0 to 79 in the order of the ids.
Boxes are left, top, width, height in pixels. `iscrowd` marks boxes around many objects.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.errors import UserError
from lolvit_data.annotations import Objects
from lolvit_data.boxed_photos import BoxedPhotos, clipped
from lolvit_data.coco_files import annotation_file, annotation_files, find_images, of_split
from lolvit_data.dataset import Split


@dataclass(frozen=True, kw_only=True)
class CocoDataset(BoxedPhotos):
    """The images of a split; `ids` are those in the file, of the images and of the classes."""

    ids: tuple[int, ...] = field(repr=False)
    category_ids: tuple[int, ...] = field(repr=False)

    def identifier(self, index: int) -> str:
        """Return the image's id in the file."""
        return str(self.ids[index])


def is_coco(root: Path) -> bool:
    """Whether a folder has annotations in COCO's format."""
    return bool(annotation_files(root))


def has_test(root: Path) -> bool:
    """Whether there are annotations of a test split."""
    return of_split(annotation_files(root), "test") is not None


def load(root: Path, split: Split) -> CocoDataset:
    """Read the annotations of a split; no image is opened.

    Boxes without an area, those outside of their image, and those of other images or classes than
    the file has, are left out and counted in `notes`, images without a file too.

    Raises:
        UserError: there is no such split, or the file is not in COCO's format.
    """
    path = annotation_file(root, split)
    document = _read(path)
    try:
        categories = _categories(document)
        category_ids = tuple(int(each["id"]) for each in categories)
        images = {int(each["id"]): each for each in document["images"]}
        _check_repeated(path, "images have the id", [int(i["id"]) for i in document["images"]])
        _check_repeated(path, "categories have the id", category_ids)
        grouped = _grouped(document["annotations"], images, category_ids)
        names = tuple(str(each["name"]) for each in categories)
        files = {i: str(each["file_name"]) for i, each in images.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"not in COCO's format: {type(error).__name__} {error}", where=str(path),
            remedy="give annotations with images, annotations and categories",
        ) from error  # fmt: skip
    _check_repeated(path, "categories are called", names)
    if not names:
        raise UserError("has no categories", where=str(path), remedy="add them")
    found = find_images(root, path, files)
    ids = tuple(sorted(found))
    objects = tuple(_objects(grouped.by_image[i], images[i]) for i in ids)
    outside = sum(len(grouped.by_image[i]) for i in ids) - sum(len(o.classes) for o in objects)
    notes = _notes(path, grouped, len(files) - len(found), outside)
    return CocoDataset(
        name=root.name, classes=names, files=tuple(found[i] for i in ids), annotated=objects,
        sizes=tuple(_size(images[i]) for i in ids), notes=notes, ids=ids,
        category_ids=category_ids,
    )  # fmt: skip


def _check_repeated(path: Path, what: str, values: Sequence[object]) -> None:
    """Check that no value occurs twice.

    Raises:
        UserError: one does: what it stands for would be ambiguous.
    """
    value, count = Counter(values).most_common(1)[0] if values else (None, 0)
    if count > 1:
        raise UserError(f"{count} {what} {value}", where=str(path), remedy="make them differ")


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Return an image's width and height, where the file has them."""
    if "width" not in image or "height" not in image:
        return None
    return int(image["width"]), int(image["height"])


def _categories(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the classes in the order of their ids. The first one that Roboflow writes is the name
    of all others' group, and has no object: it is none."""
    found = sorted(document["categories"], key=lambda each: int(each["id"]))
    if len(found) > 1 and found[0].get("supercategory") == "none":
        group, others = found[0], found[1:]
        used = any(int(each["category_id"]) == int(group["id"]) for each in document["annotations"])
        if not used and all(each.get("supercategory") == group["name"] for each in others):
            return others
    return found


def _read(path: Path) -> dict[str, Any]:
    """Read a file of annotations. Outlines, which are most of it, are dropped one by one: as Python
    objects, those of COCO's file of 450 MB would take several gigabytes."""
    try:
        document = json.loads(path.read_bytes(), object_hook=_without_outline)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"not JSON: {error}", where=str(path), remedy="download it again"
        ) from error
    if not isinstance(document, dict):
        raise UserError("not in COCO's format: no object", where=str(path), remedy="see its format")
    return document


def _without_outline(value: dict[str, Any]) -> dict[str, Any]:
    value.pop("segmentation", None)
    return value


@dataclass(frozen=True)
class _Grouped:
    """Annotations by image: box, class, crowd, area; and the number of those left out."""

    by_image: dict[int, list[tuple[list[float], int, bool, float]]]
    empty: int
    unknown: int


def _grouped(
    annotations: list[dict[str, Any]], images: dict[int, Any], category_ids: tuple[int, ...]
) -> _Grouped:
    index = {category: place for place, category in enumerate(category_ids)}
    by_image: defaultdict[int, list[tuple[list[float], int, bool, float]]] = defaultdict(list)
    empty = unknown = 0
    for each in annotations:
        left, top, width, height = (float(value) for value in each["bbox"])
        if not (width > 0 and height > 0 and np.isfinite([left, top, width, height]).all()):
            empty += 1
        elif int(each["image_id"]) not in images or int(each["category_id"]) not in index:
            unknown += 1
        else:
            by_image[int(each["image_id"])].append(
                (
                    [left, top, left + width, top + height],
                    index[int(each["category_id"])],
                    bool(each.get("iscrowd", 0)),
                    float(each.get("area", width * height)),
                )
            )
    return _Grouped(by_image, empty, unknown)


def _objects(rows: list[tuple[list[float], int, bool, float]], image: dict[str, Any]) -> Objects:
    """Return an image's objects, boxes clipped to it."""
    found = Objects.of(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
    )
    return clipped(found, _size(image))


def _notes(path: Path, grouped: _Grouped, missing: int, outside: int) -> tuple[str, ...]:
    found = (
        (missing, "images have no file"),
        (grouped.empty, "boxes have no area"),
        (outside, "boxes lie outside of their image"),
        (grouped.unknown, "boxes are of an image or a class that the file does not have"),
    )
    return tuple(f"{path.name}: {count} {what}, left out" for count, what in found if count)
