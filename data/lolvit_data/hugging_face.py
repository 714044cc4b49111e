"""A data set in the form of Hugging Face's datasets library: of the hub (`hf:OWNER/NAME`), a folder
that its `save_to_disk` wrote, or parquet and arrow files. Nothing of it is executed: the library no
longer runs scripts of data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data.dataset import Dataset, Split
from lolvit_data.splits import SPLIT_NAMES, labelled_indices, match_splits, open_split
from lolvit_runtimes.photos import load_photo

# What `save_to_disk` writes beside the rows.
_SAVED = ("dataset_dict.json", "state.json")
_FILES = {".parquet": "parquet", ".arrow": "arrow"}
# Names of a column of classes that is numbers or text, in order of preference.
_LABEL_COLUMNS = ("label", "labels", "class", "target", "fine_label", "cls", "category")
_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "photo", "picture")


@dataclass(frozen=True)
class HuggingFace:
    """The labelled rows of one split: an image column and a class column."""

    name: str
    rows: Any
    image_column: str
    classes: tuple[str, ...]
    labels: Sequence[int]
    indices: Sequence[int]
    notes: tuple[str, ...] = ()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it can't be read; the message names its row.
        """
        row = self.indices[index]
        where = f"{self.name}, row {row}"
        try:
            image = self.rows[row][self.image_column]
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"cannot be decoded: {error}", where=where) from error
        if image is None:
            raise UserError("has no image", where=where, remedy="remove the row")
        try:
            return load_photo(image, color)
        except UserError as error:
            raise UserError(error.what, where=where, remedy=error.remedy) from error


def is_saved(root: Path) -> bool:
    """Whether a folder holds a saved data set, or parquet files, which this module reads."""
    if any((root / name).is_file() for name in _SAVED):
        return True
    return any(root.glob("*.parquet")) or any(root.glob("data/*.parquet"))


def load(reference: str, split: Split) -> Dataset:
    """Open a split by its name on the hub, the folder that it was saved to, or a file.

    Raises:
        UserError: it can't be loaded (offline, or no such name), or lacks a column of images or of
            classes.
        ModuleNotFoundError: the library is not installed.
    """
    opened = _open(reference)
    parts = dict(opened) if isinstance(opened, dict) else {"": opened}
    return open_split(_Rows(reference, {str(name): rows for name, rows in parts.items()}), split)


@dataclass(frozen=True)
class _Rows:
    """The splits of a data set; one without splits has the name ''."""

    where: str
    parts: Mapping[str, Any]
    kind = "split"

    @property
    def remedy(self) -> str:
        return f"has: {', '.join(self.parts)}"

    def names(self) -> Sequence[str]:
        return list(self.parts)

    def whole(self) -> Dataset | None:
        """Return the rows of a data set without splits, or with a single one of another name."""
        names = [name for name in self.parts if not _is_split(name)]
        return self.part(names[0]) if len(names) == len(self.parts) == 1 else None

    def part(self, name: str) -> Dataset:
        where = f"{self.where}, split {name}" if name else self.where
        rows = self.parts[name]
        image_column, label_column = _columns(rows, where)
        classes = self._classes(label_column)
        numbers = _numbers(rows, label_column, classes)
        kept, notes = labelled_indices(numbers, classes, where)
        return HuggingFace(
            name=self.where,
            rows=_with_images(rows, image_column),
            image_column=image_column,
            classes=classes,
            labels=tuple(label for label in numbers if label is not None and label != -1),
            indices=kept,
            notes=notes,
        )

    def _classes(self, column: str) -> tuple[str, ...]:
        """Return the names of the classes: the column's own, or else its values in any split."""
        for rows in self.parts.values():
            names = getattr(rows.features.get(column), "names", None)
            if names:
                return tuple(names)
        values = {
            value
            for rows in self.parts.values()
            if column in rows.features
            for value in rows[column]
            if value is not None and value != -1
        }
        if all(isinstance(value, int) for value in values):
            return tuple(str(number) for number in range(max(values, default=-1) + 1))
        return tuple(sorted(map(str, values)))


def _is_split(name: str) -> bool:
    return any(match_splits([name], split) for split in SPLIT_NAMES)


def _numbers(rows: Any, column: str, classes: Sequence[str]) -> list[int | None]:
    """Return each row's class number; None where it has none."""
    places = {name: number for number, name in enumerate(classes)}
    return [
        value if value is None or isinstance(value, int) else places.get(str(value))
        for value in rows[column]
    ]


def _open(reference: str) -> Any:
    import datasets

    path = Path(reference)
    try:
        if path.is_dir() and any((path / name).is_file() for name in _SAVED):
            return datasets.load_from_disk(reference)
        if path.is_file() and path.suffix in _FILES:
            return datasets.load_dataset(_FILES[path.suffix], data_files=reference)["train"]
        return datasets.load_dataset(reference)
    except Exception as error:  # the library raises many types, of other libraries too
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"cannot be loaded: {reason}",
            where=reference,
            remedy="check the name and the network, or give a folder",
        ) from error


def _columns(rows: Any, where: str) -> tuple[str, str]:
    """Return the names of the columns of images and of classes.

    Raises:
        UserError: there is no column of images, or none of one class an image.
    """
    kinds = {name: _kind(feature) for name, feature in rows.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"] or [
        name for name, kind in kinds.items() if kind in ("bytes and path", "binary")
    ]
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"] or [
        name for name in _LABEL_COLUMNS if kinds.get(name, "").startswith(("int", "uint", "string"))
    ]
    if not images or not classes:
        raise UserError(
            "has no column of images, or none of classes",
            where=where,
            remedy=f"has: {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}",
        )
    preferred = [name for name in images if name.lower() in _IMAGE_COLUMNS]
    return (preferred or images)[0], classes[0]


def _kind(feature: Any) -> str:
    """Return the kind of a column: a feature's class, or a value's type."""
    if isinstance(feature, dict):
        return "bytes and path" if "bytes" in feature else "struct"
    name = type(feature).__name__
    return str(feature.dtype) if name == "Value" else name


def _with_images(rows: Any, column: str) -> Any:
    """Decode a column of encoded images that is not marked as one, as other tools write it."""
    import datasets

    if _kind(rows.features[column]) == "Image":
        return rows
    return rows.cast_column(column, datasets.Image())
