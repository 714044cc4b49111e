"""Find the split of a data set among those that it has: by the names that other tools give them,
the first that is labelled; where there is no test split, every fifth image of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lolvit.errors import UserError
from lolvit_data.dataset import Dataset, Split, Subset, UnlabelledError

# In order of preference. ImageNet's name of the test split is val, Roboflow's valid.
SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
HELD_OUT_EVERY = 5


class Splits(Protocol):
    """The parts of a data set: folders, files or named splits of a library."""

    @property
    def where(self) -> str:
        """Its name, for messages."""

    @property
    def kind(self) -> str:
        """What a part is: folder, shards or split."""

    @property
    def remedy(self) -> str:
        """The remedy for a data set without the split."""

    def names(self) -> Sequence[str]:
        """Return the names of its parts."""

    def whole(self) -> Dataset | None:
        """Return all its images, where it is not split; None if it is.

        Raises:
            UserError: they have no classes.
        """

    def part(self, name: str) -> Dataset:
        """Open one of its parts.

        Raises:
            UnlabelledError: its images have no classes.
            UserError: it can't be read.
        """


@dataclass(frozen=True)
class _Found:
    """The labelled part for a split, and a note for each unlabelled one that was passed over."""

    dataset: Dataset | None
    errors: tuple[UnlabelledError, ...]

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{error.where}: {error.what}; left out" for error in self.errors)


def open_split(splits: Splits, split: Split) -> Dataset:
    """Return a split, with notes on what was left out on the way to it.

    Raises:
        UserError: there is none, or none with classes.
    """
    test = _labelled(splits, "test")
    if split == "test" and test.dataset is not None:
        return _with_notes(test.dataset, test.notes())
    train = _labelled(splits, "train")
    if train.dataset is None and not train.errors and test.dataset is None and not test.errors:
        train = _Found(splits.whole(), ())
    if train.dataset is None:
        errors = (train if split == "train" else test).errors or train.errors
        raise errors[0] if errors else _missing(splits, split)
    if test.dataset is not None:
        return _with_notes(train.dataset, train.notes())
    return _hold_out(splits, train.dataset, (*train.notes(), *test.notes()), split)


def match_splits(names: Sequence[str], split: Split) -> list[str]:
    """Return the names that stand for a split, in order of preference, whatever their case."""
    wanted = SPLIT_NAMES[split]
    found = [name for name in names if name.lower() in wanted]
    return sorted(found, key=lambda name: (wanted.index(name.lower()), name))


def _labelled(splits: Splits, split: Split) -> _Found:
    errors: list[UnlabelledError] = []
    for name in match_splits(splits.names(), split):
        try:
            return _Found(splits.part(name), tuple(errors))
        except UnlabelledError as error:
            errors.append(error)
    return _Found(None, tuple(errors))


def _missing(splits: Splits, split: Split) -> UserError:
    return UserError(
        f"has no {splits.kind} {' or '.join(SPLIT_NAMES[split])}",
        where=splits.where,
        remedy=splits.remedy,
    )


def _with_notes(dataset: Dataset, notes: tuple[str, ...]) -> Dataset:
    if not notes:
        return dataset
    return Subset(dataset, tuple(range(len(dataset.labels))), (*notes, *dataset.notes))


def _hold_out(splits: Splits, whole: Dataset, notes: tuple[str, ...], split: Split) -> Dataset:
    """Return one part of the training images: every fifth of each class is a test image, in
    small classes the last one.

    Raises:
        UserError: a class has a single image.
    """
    counts, seen = Counter(whole.labels), Counter[int]()
    single = [whole.classes[label] for label, count in sorted(counts.items()) if count == 1]
    if single:
        raise UserError(
            f"has no {splits.kind} {' or '.join(SPLIT_NAMES['test'])}, and one image of a class"
            f" to hold out from: {', '.join(single[:4])}",
            where=splits.where,
            remedy="give each class more images, or a test split",
        )
    test = set()
    for index, label in enumerate(whole.labels):
        seen[label] += 1
        last_of_few = seen[label] == counts[label] < HELD_OUT_EVERY
        if seen[label] % HELD_OUT_EVERY == 0 or last_of_few:
            test.add(index)
    said = (
        f"{splits.where}: no labelled test split: {len(test)} of {len(whole.labels)} images, every"
        " fifth of each class, are held out as one"
    )
    chosen = tuple(i for i in range(len(whole.labels)) if (i in test) == (split == "test"))
    return Subset(whole, chosen, (*notes, said, *whole.notes))


def labelled_indices(
    labels: Sequence[int | None], classes: Sequence[str], where: str
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the indices of images with a label, and a note on those without: None, or -1, which
    data sets write for "no label".

    Raises:
        UnlabelledError: none has a label.
        UserError: a label is none of the classes.
    """
    kept = tuple(i for i, label in enumerate(labels) if label is not None and label != -1)
    wrong = next((labels[i] for i in kept if not 0 <= int(labels[i] or 0) < len(classes)), None)
    if wrong is not None:
        raise UserError(
            f"has the label {wrong}, but {len(classes)} classes",
            where=where,
            remedy="number the classes from 0",
        )
    if not kept:
        raise UnlabelledError(
            f"none of its {len(labels)} images has a label",
            where=where,
            remedy="give a split with labels",
        )
    missing = len(labels) - len(kept)
    if not missing:
        return kept, ()
    return kept, (f"{where}: {missing} of {len(labels)} images have no label and are left out",)


def require_two_classes(labels: Sequence[int], where: str) -> None:
    """Check that at least two classes have images.

    Raises:
        UserError: fewer have.
    """
    if len(set(labels)) < 2:
        raise UserError(
            "fewer than two classes have images", where=where, remedy="give images of at least two"
        )
