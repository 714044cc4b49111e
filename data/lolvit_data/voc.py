"""Boxes in Pascal VOC's layout: an XML file for each image, as LabelImg and CVAT write them too.

JPEGImages/NAME.jpg with Annotations/NAME.xml, and ImageSets/Main/{train,val}.txt, which list names;
as Roboflow exports it, {train,valid}/ with both kinds of files; images/ and annotations/, by splits
or not; or both kinds in one folder.

Boxes are xmin, ymin, xmax, ymax in pixels, of which the first is 1 and the last belongs to the box
(Everingham and Winn, "The PASCAL Visual Object Classes Challenge 2012 Development Kit", section 4).
Objects marked as difficult are neither trained nor counted on, as crowds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np

from lolvit.errors import UserError
from lolvit.text import read_text
from lolvit_data.annotations import SPLITS, Objects
from lolvit_data.boxed_photos import BoxedPhotos, clipped
from lolvit_data.dataset import Split
from lolvit_runtimes.photo_files import list_photos

IMAGES: Final = "JPEGImages"
_IMAGES: Final = (IMAGES, "images", "Images")
_ANNOTATIONS: Final = ("Annotations", "annotations", "annots", "xmls", "labels")
_TRAINVAL: Final = "trainval"  # the training split of a data set whose test split is test.txt alone
_LEFT_OUT: Final = (
    "boxes are of a class that the training split does not have",
    "objects have no box",
    "boxes lie outside of their image, or have no area",
)


@dataclass(frozen=True)
class Place:
    """Where the images of a split are, their annotations, and the list of their names, if any."""

    images: Path
    annotations: Path
    listing: Path | None = None

    def listed(self, known: Collection[str]) -> list[str]:
        """Return the listed names, all that are `known` without a list. A list of a class has a
        second column.

        Raises:
            UserError: the list can't be read.
        """
        if self.listing is None:
            return sorted(known)
        rows = [row.strip() for row in read_text(self.listing, "list of images").splitlines()]
        return list(dict.fromkeys(row if row in known else row.split()[0] for row in rows if row))


@dataclass(frozen=True)
class _Annotation:
    """What an XML file says: the image's size, and of each object its class, whether it is
    difficult, and its box, if it has one."""

    size: tuple[int, int] | None
    names: tuple[str, ...]
    difficult: tuple[bool, ...]
    boxes: tuple[tuple[float, float, float, float] | None, ...]


def is_voc(root: Path) -> bool:
    """Whether a folder has annotations as VOC or Roboflow has them."""
    return _place(root, "train") is not None


def has_test(root: Path) -> bool:
    """Whether there are annotations of a test split."""
    return _place(root, "test") is not None


def load(root: Path, split: Split) -> BoxedPhotos:
    """Read the annotations of a split; no image is opened. The classes are those of the training
    split, by name.

    Objects without a box, of another class, or outside of their image, are left out and counted in
    `notes`; so are images without annotations.

    Raises:
        UserError: there is no such split, no image has annotations, or a file is not in the format.
    """
    place, train = _place(root, split), _place(root, "train")
    if place is None or train is None:
        missing = split if place is None else "train"
        raise UserError(f"has no annotations of the {missing} split", where=str(root),
                        remedy=f"add ImageSets/Main/{SPLITS[split][0]}.txt")  # fmt: skip
    pairs, notes = _paired(place)
    annotations = [_read(path) for _, path in pairs]
    own = annotations if split == "train" else [_read(path) for _, path in _paired(train)[0]]
    classes = tuple(sorted(set(chain.from_iterable(each.names for each in own))))
    if not classes:
        raise UserError("has no objects", where=str(train.annotations), remedy="annotate some")
    left_out: Counter[str] = Counter()
    objects = tuple(_objects(each, classes, left_out) for each in annotations)
    notes += [f"{left_out[what]} {what}, left out" for what in _LEFT_OUT if left_out[what]]
    difficult = sum(int(each.crowd.sum()) for each in objects)
    if difficult:
        notes.append(f"{difficult} objects are marked as difficult, not trained or counted on")
    return BoxedPhotos(
        name=root.name,
        classes=classes,
        files=tuple(image for image, _ in pairs),
        annotated=objects,
        sizes=tuple(each.size for each in annotations),
        notes=tuple(f"{split}: {note}" for note in notes),
    )


def place_in_lists(whole: Place, lists: Path, split: Split) -> Place | None:
    """Return where a split of a data set is whose lists of names are in a folder; without a list of
    a split, such as in CVAT's, with default.txt alone, all is the training split."""
    found = {path.stem.lower(): path for path in lists.glob("*.txt")}
    for name in (*SPLITS[split], *((_TRAINVAL,) if split == "train" else ())):
        if name in found:
            return replace(whole, listing=found[name])
    has_splits = {_TRAINVAL, *chain.from_iterable(SPLITS.values())} & found.keys()
    return whole if split == "train" and not has_splits else None


def _place(root: Path, split: Split) -> Place | None:
    """Return where a split is, in the first of the layouts that the folder has."""
    whole, lists = _both_kinds(root), root / "ImageSets" / "Main"
    if whole is not None and (whole.images.name == IMAGES or lists.is_dir()):
        return place_in_lists(whole, lists, split)
    places: list[Place | None] = []
    for name in SPLITS[split]:
        places += [Place(root / name, root / name), _both_kinds(root / name)]
        places += [Place(root / images / name, root / images / name) for images in _IMAGES]
        if whole is not None:
            places.append(Place(whole.images / name, whole.annotations / name))
    if split == "train":  # not split
        places += [whole, Place(root, root)]
    return next((place for place in places if place and _has_annotations(place)), None)


def _both_kinds(root: Path) -> Place | None:
    """Return the folders of images and of annotations in a folder, if it has both."""
    images, annotations = (
        next((root / name for name in names if (root / name).is_dir()), None)
        for names in (_IMAGES, _ANNOTATIONS)
    )
    return Place(images, annotations) if images and annotations else None


def _has_annotations(place: Place) -> bool:
    """Whether a folder of images has VOC's XML files, of which the first by name is looked at."""
    if not (place.images.is_dir() and place.annotations.is_dir()):
        return False
    first = min(place.annotations.glob("*.xml"), default=None)
    try:
        return first is not None and _parse(first).tag == "annotation"
    except UserError:  # any XML, in whatever state, may lie beside photos
        return place.annotations != place.images


def _paired(place: Place) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return images with their XML files, of the same name but for the suffix, and notes on those
    that are left out."""
    photos = list_photos(place.images, recursive=False).photos
    images = {path.stem: path for path in photos}
    files = {path.stem: path for path in sorted(place.annotations.glob("*.xml"))}
    names = place.listed(images.keys() | files.keys())
    both = [name for name in names if name in images and name in files]
    if not both:
        raise UserError(
            f"none of {len(names)} names has both an image in {place.images.name}/ and an XML file"
            f" in {place.annotations.name}/", where=str(place.listing or place.annotations),
            remedy="an image and its annotations have the same name but for the suffix",
        )  # fmt: skip
    counts = (
        (sum(name not in files for name in names), "images have no annotations"),
        (sum(name in files and name not in images for name in names), "annotations have no image"),
        (len(photos) - len(images), "images have the name of another one"),
    )
    notes = [f"{count} {what}, left out" for count, what in counts if count]
    return [(images[name], files[name]) for name in both], notes


def _objects(found: _Annotation, classes: tuple[str, ...], left_out: Counter[str]) -> Objects:
    """Return an image's objects; count those that are left out."""
    rows = []
    for name, difficult, box in zip(found.names, found.difficult, found.boxes, strict=True):
        if name not in classes:
            left_out[_LEFT_OUT[0]] += 1
        elif box is None:
            left_out[_LEFT_OUT[1]] += 1
        else:
            rows.append((box, classes.index(name), difficult))
    objects = Objects.of([row[0] for row in rows], [row[1] for row in rows],
                         [row[2] for row in rows])  # fmt: skip
    inside = clipped(objects, found.size)
    left_out[_LEFT_OUT[2]] += len(rows) - len(inside.classes)
    return Objects.of(inside.boxes, inside.classes, inside.crowd)


class _WithoutEntities(ElementTree.TreeBuilder):
    """Builds a tree of a file that declares nothing: a declared entity can expand to gigabytes."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a declaration."""
        raise ValueError(f"it declares a document type, {name}")


def _parse(path: Path) -> ElementTree.Element:
    try:
        parser = ElementTree.XMLParser(target=_WithoutEntities())
        return ElementTree.parse(path, parser).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise UserError(f"not XML: {error}", where=str(path), remedy="correct it") from error


def _read(path: Path) -> _Annotation:
    root = _parse(path)
    try:
        if root.tag != "annotation":
            raise ValueError(f"its root is {root.tag}")
        objects = root.findall("object")
        names = tuple((each.findtext("name") or "").strip() for each in objects)
        if not all(names):
            raise ValueError("an object has no name")
        difficult = tuple((each.findtext("difficult") or "0").strip() == "1" for each in objects)
        return _Annotation(
            _size(root), names, difficult, tuple(_box(each.find("bndbox")) for each in objects)
        )
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"not in VOC's format: {error}", where=str(path),
            remedy="give annotation with size and object, each of name and bndbox",
        ) from error  # fmt: skip


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return the image's width and height; None where the file has none, or zeros, which some
    tools write."""
    width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _box(found: ElementTree.Element | None) -> tuple[float, float, float, float] | None:
    if found is None:
        return None
    sides = ("xmin", "ymin", "xmax", "ymax")
    left, top, right, bottom = (float(found.findtext(side) or "nan") for side in sides)
    if not np.isfinite([left, top, right, bottom]).all():
        raise ValueError(f"a box has no {', '.join(sides)}")
    return max(left - 1, 0), max(top - 1, 0), right, bottom
