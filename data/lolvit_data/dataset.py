"""The interface of data sets, and stratified subsets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color

Split = Literal["train", "test"]


class ImageSource(Protocol):
    """Images at random access: any process may read any part in any order."""

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color` of a manifest: RGBA keeps the alpha
        channel, which RGB leaves out.

        Raises:
            UserError: it can't be read; the message names it.
        """


class Dataset(ImageSource, Protocol):
    """Images with labels."""

    @property
    def name(self) -> str:
        """Its name, for messages and metadata."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def labels(self) -> Sequence[int]:
        """The class of each image, as an index into `classes`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes to print, one line each: what was left out, and why."""


@runtime_checkable
class HasSubsets(Protocol):
    """A data set with more than images and labels, which a `Subset` of it would leave out."""

    def subset(self, indices: Sequence[int]) -> Dataset:
        """Return some of its images, by their indices."""


class UnlabelledError(UserError):
    """Images of a split have no classes, so that another split may serve."""


@dataclass(frozen=True)
class InMemory:
    """Images that are generated, not read."""

    name: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    images: tuple[Image.Image, ...]
    notes: tuple[str, ...] = ()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`."""
        image = self.images[index]
        return image if image.mode == color else image.convert(color)


@dataclass(frozen=True)
class Subset:
    """Some images of a data set, by their indices there."""

    whole: Dataset
    indices: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the whole."""
        return self.whole.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the whole."""
        return self.whole.classes

    @cached_property
    def labels(self) -> Sequence[int]:
        """The class of each image."""
        return tuple(self.whole.labels[index] for index in self.indices)

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it can't be read; the message names it.
        """
        return self.whole.image(self.indices[index], color)


def limited(dataset: Dataset, limit: int | None) -> Dataset:
    """Return about `limit` images of a data set, stratified by class; all of them without a
    limit."""
    if limit is None:
        return dataset
    indices = tuple(even_share(dataset.labels, limit))
    if isinstance(dataset, HasSubsets):
        return dataset.subset(indices)
    return Subset(dataset, indices, dataset.notes)


def even_share(labels: Sequence[int], count: int) -> list[int]:
    """Return the indices of a stratified subset of `count` images, spread over each class from its
    first image to its last; all of them if there are no more."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        members[label].append(index)
    if len(labels) <= count:
        return list(range(len(labels)))
    # Every class in turn gives its next image, until it has none left.
    queues = [_spread(indices) for _, indices in sorted(members.items())]
    turns = [
        queue[turn]
        for turn in range(max(map(len, queues)))
        for queue in queues
        if turn < len(queue)
    ]
    return sorted(turns[:count])


def _spread(indices: Sequence[int]) -> list[int]:
    """Return `indices` in an order whose every beginning is spread over the whole: the van der
    Corput sequence in base 2."""
    bits = max(1, (len(indices) - 1).bit_length())
    order = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [indices[place] for place in order if place < len(indices)]
