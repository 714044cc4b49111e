"""Boxes in the layout of YOLO's trainers: a YAML file with the folders of images (`train`, `val`)
and the classes (`names`), and of each image a text file with a line for each object: its class, the
box's centre, width and height, as fractions of the image's; or its outline, of which the box is
taken.

`images/` in the path of an image is `labels/` in that of its text file, or both lie in one folder.
An image without one has no objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from lolvit.errors import UserError
from lolvit.text import read_text
from lolvit_data.annotations import SPLITS, Objects
from lolvit_data.boxed_photos import PhotosWithBoxes
from lolvit_data.dataset import Split
from lolvit_runtimes.photo_files import list_photos
from lolvit_runtimes.photos import photo_size

SUFFIXES: Final = (".yaml", ".yml")
_BEYOND = 0.01  # of the image's side: that much a rounded coordinate may lie outside
_FORMAT = "class, centre x and y, width, height, or an outline, as fractions of the image"


@dataclass(frozen=True, kw_only=True)
class YoloDataset(PhotosWithBoxes):
    """The images of a split; `boxes` (N, 4) are left, top, right, bottom as fractions of the
    image's width and height."""

    boxes: tuple[npt.NDArray[np.float64], ...] = field(repr=False)
    indices: tuple[npt.NDArray[np.int64], ...] = field(repr=False)

    def objects(self, index: int) -> Objects:
        """Return the boxes of an image.

        Raises:
            UserError: the image, whose size they need, can't be read.
        """
        width, height = photo_size(self.files[index])
        scale = np.array([width, height, width, height], np.float64)
        return Objects.of(self.boxes[index] * scale, self.indices[index])


def configuration(root: Path) -> Path | None:
    """Return the YAML file of a data set: the one given, or the one in a folder; None if there is
    none."""
    if root.is_file():
        return root if root.suffix.lower() in SUFFIXES else None
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES)
    files.sort(key=lambda path: path.stem != "data")
    return next(filter(_describes_a_data_set, files), None)


def has_test(path: Path) -> bool:
    """Whether a YAML file names a test split."""
    document = _read(path)
    return _has_keys(document) and _key(document, "test") is not None


def load(path: Path, split: Split) -> YoloDataset:
    """Read the boxes of a split that a YAML file describes; no image is opened.

    Boxes without an area, those outside of the image, and those of other classes than the file has,
    are left out and counted in `notes`.

    Raises:
        UserError: there is no such split, a folder or an image is missing, or a file is not in the
            format.
    """
    document = _read(path)
    if not _has_keys(document):
        raise UserError("has no train and names", where=str(path), remedy="add them")
    classes = _classes(path, document)
    files = _files(path, document, split)
    labels = [_label_file(file) for file in files]
    if not any(file.is_file() for file in labels):
        raise UserError(f"none of {len(files)} images has its objects, such as {labels[0]}",
                        where=str(path), remedy="put labels/ beside images/")  # fmt: skip
    read = [_read_objects(file, len(classes)) for file in labels]
    left_out = np.sum([each.left_out for each in read], axis=0)
    kept = sum(len(each.classes) for each in read)
    notes = tuple(
        f"{split}: {count} boxes {what}, left out"
        for count, what in zip(left_out, _LEFT_OUT, strict=True)
        if count
    )
    if left_out.sum() and not kept:
        raise UserError(f"none of {left_out.sum()} boxes can be used: {'; '.join(notes)}",
                        where=str(path), remedy=f"give {_FORMAT}")  # fmt: skip
    return YoloDataset(
        name=path.parent.name, classes=classes, files=files, notes=notes,
        boxes=tuple(each.boxes for each in read), indices=tuple(each.classes for each in read),
    )  # fmt: skip


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(read_text(path, "data set"))
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # of dates, of long numbers
        said = " ".join(str(error).split())
        raise UserError(f"not YAML: {said}", where=str(path), remedy="correct it") from error


def _describes_a_data_set(path: Path) -> bool:
    """Whether a file is one; any other YAML, in whatever state, may lie beside photos."""
    try:
        return _has_keys(_read(path))
    except UserError:
        return path.stem == "data"


def _has_keys(document: Any) -> bool:
    return isinstance(document, dict) and "train" in document and "names" in document


def _classes(path: Path, document: dict[str, Any]) -> tuple[str, ...]:
    """Return the names, which are a list, or a table by the classes' numbers."""
    given = document["names"]
    try:
        numbered = dict(given) if isinstance(given, dict) else dict(enumerate(given))
        names = tuple(str(numbered[number]) for number in range(len(numbered)))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            "its names are neither a list, nor numbered from 0", where=str(path),
            remedy="write names: [cat, dog]",
        ) from error  # fmt: skip
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated:
        what = f"several classes are called {repeated[0]}" if repeated else "has no class"
        raise UserError(what, where=str(path), remedy="correct names")
    if document.get("nc", len(names)) != len(names):
        raise UserError(f"nc is {document['nc']}, but there are {len(names)} names",
                        where=str(path), remedy="correct one of them")  # fmt: skip
    return names


def _files(path: Path, document: dict[str, Any], split: Split) -> tuple[Path, ...]:
    """Return the images of a split: those in its folders, and those that its text files name."""
    key = _key(document, split)
    if key is None:
        raise UserError(f"names no folder of the {split} split", where=str(path),
                        remedy=f"add {SPLITS[split][0]}: and the folder of images")  # fmt: skip
    given = document[key]
    places = [given] if isinstance(given, str) else given
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        raise UserError(f"{key} is no path", where=str(path), remedy="name a folder of images")
    base = path.parent / str(document.get("path") or "")
    found: list[Path] = []
    for place in places:
        found += _images(path, key, _existing(path, base, place.replace("\\", "/")))
    if not found:
        raise UserError(f"{key} has no image", where=str(path), remedy="add images")
    return tuple(found)


def _key(document: dict[str, Any], split: Split) -> str | None:
    return next((key for key in SPLITS[split] if document.get(key)), None)


def _existing(path: Path, base: Path, place: str) -> Path:
    """Return where a folder or list is: below `path:`, or below the YAML file's folder. Roboflow
    writes paths that begin with ../ and mean the latter; others are of another machine, where their
    last parts, at least two, may be the same."""
    parts = PurePosixPath(place).parts
    ends = [Path(*parts[first:]) for first in range(1, len(parts) - 1)]
    tried = [base / place, path.parent / place, *(path.parent / end for end in ends)]
    for each in tried:
        if each.exists():
            return each
    raise UserError(
        f"there is no {tried[0]}", where=str(path),
        remedy="correct path:, which begins at the file's own folder, or leave val: and test: out"
        " to hold every fifth image out",
    )  # fmt: skip


def _images(path: Path, key: str, place: Path) -> list[Path]:
    if place.is_dir():
        return list(list_photos(place).photos)
    if place.suffix != ".txt":
        raise UserError(f"{key} is {place.name}, no folder", where=str(path),
                        remedy="name a folder of images, or a .txt with their paths")  # fmt: skip
    lines = read_text(place, "list of images").splitlines()
    images = [place.parent / line.strip() for line in lines if line.strip()]
    missing = [image for image in images if not image.is_file()]
    if missing:
        raise UserError(f"{len(missing)} of its images are missing, such as {missing[0]}",
                        where=str(place), remedy="correct the paths")  # fmt: skip
    return images


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


_LEFT_OUT: Final = ("are of a class without a name", "lie outside of their image", "have no area")


@dataclass(frozen=True)
class _Labels:
    """The objects of a file, and how many were left out, for each of `_LEFT_OUT`."""

    boxes: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    left_out: tuple[int, ...]


def _read_objects(path: Path, count: int) -> _Labels:
    lines = read_text(path, "labels").splitlines() if path.is_file() else []
    rows = [
        _row(path, number, line.split()) for number, line in enumerate(lines, 1) if line.strip()
    ]
    boxes = np.array([row[1] for row in rows], np.float64).reshape(-1, 4)
    classes = np.array([row[0] for row in rows], np.int64)
    known = (classes >= 0) & (classes < count)
    inside = known & (boxes >= -_BEYOND).all(1) & (boxes <= 1 + _BEYOND).all(1)
    boxes = boxes.clip(0, 1)
    kept = inside & (boxes[:, 2:] > boxes[:, :2]).all(1)
    left_out = len(rows) - known.sum(), (known & ~inside).sum(), (inside & ~kept).sum()
    return _Labels(boxes[kept], classes[kept], tuple(map(int, left_out)))


def _row(path: Path, number: int, cells: Sequence[str]) -> tuple[int, list[float]]:
    """Return an object's class and its left, top, right and bottom."""
    try:
        index, values = float(cells[0]), np.array([float(cell) for cell in cells[1:]])
        outline = len(values) >= 6 and len(values) % 2 == 0
        if not (index == int(index) and (outline or len(values) == 4)):
            raise ValueError
        if not np.isfinite(values).all():
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"line {number} is not {_FORMAT}", where=str(path), remedy="correct it"
        ) from error
    if outline:
        points = values.reshape(-1, 2)
        return int(index), [*points.min(0), *points.max(0)]
    centre, half = values[:2], values[2:] / 2
    return int(index), [*(centre - half), *(centre + half)]
