"""The classes of ImageNet's validation images as published: a flat folder, and a table beside it.

Tiny ImageNet   val/val_annotations.txt         FILE <tab> CLASS <tab> box
Kaggle's        ILSVRC/Data/CLS-LOC/val/ and    ImageId,PredictionString: a name without
                LOC_val_solution.csv            suffix, and CLASS with a box, once or more
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import UserError
from lolvit.text import read_text
from lolvit_runtimes.photo_files import PhotoFiles, list_photos

_TINY = "val_annotations.txt"
_KAGGLE = "LOC_val_solution.csv"
_KAGGLE_PLACE = ("ILSVRC", "Data", "CLS-LOC", "val")
_REMEDY = "take the file as it was published, or sort the images into one folder a class"


@dataclass(frozen=True)
class LabelTable:
    """The class of each image by its file's name without suffix; `path` is the table's."""

    path: Path
    classes: dict[str, str]

    def members(self, folder: Path) -> dict[str, list[PhotoFiles]]:
        """Return the images below a folder by their class; what is left out is with the first."""
        found = list_photos(folder)
        by_class: dict[str, list[Path]] = {}
        unknown: list[Path] = []
        left_out = {
            reason: tuple(each for each in files if each != self.path)
            for reason, files in found.left_out.items()
        }
        for photo in found.photos:
            label = self.classes.get(photo.stem)
            (unknown if label is None else by_class.setdefault(label, [])).append(photo)
        left_out[f"not in {self.path.name}"] = tuple(unknown)
        members = {
            label: [PhotoFiles(folder, tuple(photos))] for label, photos in sorted(by_class.items())
        }
        for parts in [*members.values()][:1]:
            parts.append(PhotoFiles(folder, (), left_out))
        return members


def published_labels(folder: Path) -> LabelTable | None:
    """Return the table of a folder of validation images; None if it has none.

    Raises:
        UserError: it can't be read, or a line of it has no class.
    """
    tiny = folder / _TINY
    if tiny.is_file():
        return _read(tiny, "\t")
    place = folder.resolve()
    if place.parts[-len(_KAGGLE_PLACE) :] == _KAGGLE_PLACE:
        kaggle = place.parents[len(_KAGGLE_PLACE) - 1] / _KAGGLE
        if kaggle.is_file():
            return _read(kaggle, ",", header=True)
    return None


def _read(path: Path, delimiter: str, *, header: bool = False) -> LabelTable:
    lines = read_text(path, "the table of classes").split("\n")
    rows = enumerate(csv.reader(lines, delimiter=delimiter), start=1)
    try:
        return LabelTable(path, dict(_pairs(path, rows, header)))
    except csv.Error as error:
        raise UserError(f"is no table: {error}", where=str(path), remedy=_REMEDY) from error


def _pairs(
    path: Path, rows: Iterable[tuple[int, list[str]]], header: bool
) -> Iterator[tuple[str, str]]:
    for number, row in rows:
        if (header and number == 1) or not any(row):
            continue
        words = row[1].split() if len(row) > 1 else []
        if not words or not row[0]:
            raise UserError(
                f"line {number} has no image and class", where=str(path), remedy=_REMEDY
            )
        yield Path(row[0]).stem, words[0]
