"""The interface of data sets with boxes or masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from lolvit.manifest import Color
from lolvit_data.dataset import Split

IGNORE = 255  # of a mask: the pixel has no class
NOT_A_CLASS: Final = "__ignore__"  # labelme's name for pixels without a class
# Metrics are computed without each of these groups of images, for intervals: image number i is in
# group i modulo GROUPS.
GROUPS: Final = 20
# What folders, files and keys of a split of annotated images are called, in order of preference.
# Unlike a classifier's, test comes last: COCO's has no annotations.
SPLITS: Final[dict[Split, tuple[str, ...]]] = {
    "train": ("train", "training"),
    "test": ("val", "valid", "validation", "test"),
}
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Objects:
    """The objects in an image: boxes (N, 4) as left, top, right, bottom in its pixels; classes
    (N,); `crowd` (N,), whether a box is around many objects, which is neither trained nor counted
    on; and the areas (N,) in pixels, of the object or else of its box."""

    boxes: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.float64]

    @classmethod
    def of(cls, boxes: Any, classes: Any, crowd: Any = None, areas: Any = None) -> Objects:
        """Return objects from sequences; none is a crowd, and areas are those of boxes, by
        default."""
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        sides = corners[:, 2:] - corners[:, :2]
        own = sides[:, 0] * sides[:, 1]
        return cls(
            corners,
            np.asarray(classes, np.int64),
            np.zeros(len(corners), bool) if crowd is None else np.asarray(crowd, bool),
            own if areas is None else np.asarray(areas, np.float64),
        )


class AnnotatedDataset(Protocol):
    """Images with boxes or masks, at random access: any process may read any part in any order."""

    @property
    def name(self) -> str:
        """Its name, for messages and metadata."""

    @property
    def task(self) -> str:
        """detection, which has `objects`, or segmentation, which has `mask`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def colors(self) -> tuple[str, ...] | None:
        """A colour (#rrggbb) for each class, if the data set defines them."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes to print, one line each: what was left out, and why."""

    def __len__(self) -> int:
        """Return the number of images."""

    def identifier(self, index: int) -> str:
        """Return an image's name in results: its file's name without suffix, or its id."""

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it can't be read; the message names it.
        """

    def objects(self, index: int) -> Objects:
        """Return an image's objects, for the task detection."""

    def mask(self, index: int) -> Mask:
        """Return an image's classes (height, width), `IGNORE` where there is none, for the task
        segmentation.

        Raises:
            UserError: it can't be read; the message names it.
        """


@dataclass(frozen=True)
class AnnotatedSubset:
    """Some images of a data set, by their indices there; `more_notes` say why."""

    whole: AnnotatedDataset
    indices: tuple[int, ...]
    more_notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the whole."""
        return self.whole.name

    @property
    def task(self) -> str:
        """The task of the whole."""
        return self.whole.task

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the whole."""
        return self.whole.classes

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """The ids of the classes in the file of the whole, if it has ids of its own."""
        return getattr(self.whole, "category_ids", None)

    @property
    def colors(self) -> tuple[str, ...] | None:
        """The colours of the whole."""
        return self.whole.colors

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the part, and those of the whole."""
        return (*self.more_notes, *self.whole.notes)

    def __len__(self) -> int:
        return len(self.indices)

    def identifier(self, index: int) -> str:
        """Return an image's name in the whole."""
        return self.whole.identifier(self.indices[index])

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image, as the whole does.

        Raises:
            UserError: it can't be read; the message names it.
        """
        return self.whole.image(self.indices[index], color)

    def objects(self, index: int) -> Objects:
        """Return an image's objects."""
        return self.whole.objects(self.indices[index])

    def mask(self, index: int) -> Mask:
        """Return an image's classes (height, width).

        Raises:
            UserError: it can't be read; the message names it.
        """
        return self.whole.mask(self.indices[index])


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` indices, evenly spread."""
    chosen = min(count, most)
    return [index * count // chosen for index in range(chosen)]


def limited(dataset: AnnotatedDataset, limit: int | None) -> AnnotatedDataset:
    """Return at most `limit` images of a data set, evenly spread; all of them without a limit."""
    if limit is None or limit >= len(dataset):
        return dataset
    return AnnotatedSubset(dataset, tuple(spread(len(dataset), limit)))


@dataclass(frozen=True)
class WithoutObjects:
    """The part of a data set that has masks alone."""

    task: str = field(default="segmentation", init=False)

    def objects(self, index: int) -> Objects:
        """Have none: there are masks."""
        raise NotImplementedError("a data set for segmentation has masks")


@dataclass(frozen=True)
class WithoutMasks:
    """The part of a data set that has boxes alone."""

    task: str = field(default="detection", init=False)

    def mask(self, index: int) -> Mask:
        """Have none: there are boxes."""
        raise NotImplementedError("a data set for detection has boxes")
