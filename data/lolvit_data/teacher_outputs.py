"""A teacher's outputs on crops of photos, kept in a folder that is a data set: the class of a crop
is the teacher's highest.

The folder has `teacher.json`, which says whose outputs they are and on what, and the logits of each
split in half precision, in files of 512 crops. `lolvit train --teacher` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from lolvit.documents import Frozen, read_document
from lolvit.errors import UserError
from lolvit.manifest import Color, Preprocessing, Sha256
from lolvit_data import photo_crops
from lolvit_data.dataset import Split
from lolvit_data.photo_crops import PhotoCrops

Outputs = npt.NDArray[np.float16]

DESCRIPTION: Final = "teacher.json"
PART: Final = 512  # crops of a file
FEWEST_CLASSES: Final = 6  # the five highest of fewer say nothing
_AGAIN = "run lolvit train with --teacher again, in another folder"


class Crops(Frozen):
    """The crops of a split: their number, and the digest of their photos' names and sizes."""

    count: int = Field(ge=1)
    photos_sha256: Sha256

    @classmethod
    def of(cls, crops: PhotoCrops) -> Self:
        """Return the description of crops."""
        return cls(count=crops.count, photos_sha256=crops.digest())


class TeacherDescription(Frozen):
    """Whose outputs a folder has, and on which crops: `source` is `photo-crops`, or with a folder
    of photos. `preprocessing` is the teacher's: it sees whole crops."""

    schema_version: Literal[1] = 1
    teacher: str
    weights_sha256: Sha256
    preprocessing: Preprocessing
    classes: tuple[str, ...] = Field(min_length=FEWEST_CLASSES)
    source: str
    train: Crops
    test: Crops

    def crops_of(self, split: Split) -> Crops:
        """Return the description of a split's crops."""
        return self.train if split == "train" else self.test


@dataclass(frozen=True, eq=False)
class TaughtImages:
    """Crops, by their numbers, with a teacher's logits (N, classes) in half precision."""

    crops: PhotoCrops
    numbers: Sequence[int] = field(repr=False)
    classes: tuple[str, ...]
    outputs: Outputs = field(repr=False)
    name: str = photo_crops.NAME
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The teacher's highest class of each crop, the first of equal ones."""
        return tuple(self.outputs.argmax(axis=1).tolist())

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return a crop as 8-bit RGB, or in another `color`.

        Raises:
            UserError: its photo can't be decoded.
        """
        return self.crops.image(self.numbers[index], color)

    def outputs_of(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the teacher's logits (B, classes) of crops."""
        return self.outputs[list(indices)].astype(np.float32)

    def subset(self, indices: Sequence[int]) -> TaughtImages:
        """Return some of the images, with the teacher's outputs."""
        numbers = tuple(self.numbers[index] for index in indices)
        return replace(self, numbers=numbers, outputs=self.outputs[list(indices)])


def is_teacher_outputs(root: Path) -> bool:
    """Whether a folder has a teacher's outputs."""
    return (root / DESCRIPTION).is_file()


def read_description(root: Path) -> TeacherDescription:
    """Read what a folder has the outputs of.

    Raises:
        UserError: the file is missing or invalid.
    """
    return read_document(
        root / DESCRIPTION,
        TeacherDescription,
        kind="description of a teacher's outputs",
        remedy=_AGAIN,
    )


def load(root: Path, split: Split) -> TaughtImages:
    """Open a folder's split.

    Raises:
        UserError: it is incomplete or damaged, or the photos are not those that the teacher saw.
    """
    description = read_description(root)
    described = description.crops_of(split)
    crops = photo_crops.load(description.source, split, described.count)
    if Crops.of(crops) != described:
        raise UserError(
            f"has a teacher's outputs on other photos than {description.source} has now",
            where=str(root),
            remedy=_AGAIN,
        )
    classes = len(description.classes)
    parts = [
        read_part(root, split, number, described.count, classes)
        for number in range(number_of_parts(described.count))
    ]
    outputs = np.concatenate(parts)
    return TaughtImages(crops, range(crops.count), description.classes, outputs, notes=crops.notes)


def number_of_parts(count: int) -> int:
    """Return the number of files that the outputs on `count` crops are in."""
    return -(-count // PART)


def indices_of_part(number: int, count: int) -> range:
    """Return the crops, of `count`, whose outputs are in a file."""
    return range(number * PART, min((number + 1) * PART, count))


def part_path(root: Path, split: Split, number: int) -> Path:
    """Return the path of a file of outputs."""
    return root / f"{split}-{number:04}.npy"


def read_part(root: Path, split: Split, number: int, count: int, classes: int) -> Outputs:
    """Read a file of outputs, of `count` crops in all; nothing in it is executed.

    Raises:
        UserError: it is missing, or holds no outputs on as many crops.
    """
    path = part_path(root, split, number)
    shape = (len(indices_of_part(number, count)), classes)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unusable(path, f"can't be read: {error}") from error
    if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (np.float16, shape):
        raise _unusable(path, f"holds no array of half precision of the shape {shape}")
    values = np.array(found)
    if not np.isfinite(values).all():
        raise _unusable(path, "has values that are not finite")
    return values


def _unusable(path: Path, why: str) -> UserError:
    return UserError(
        why, where=str(path), remedy="remove the file and run lolvit train with --teacher again"
    )
