"""A data set in the form of Hugging Face's datasets library: of the hub (`hf:OWNER/NAME`) or a
folder that its `save_to_disk` wrote (`hf:./FOLDER`). Nothing of it is executed: the library no
longer runs scripts of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lolvit.errors import UserError
from lolvit_data.dataset import Split
from lolvit_data.folder import SPLIT_FOLDERS
from lolvit_runtimes.photos import load_photo


@dataclass(frozen=True)
class HuggingFace:
    """The rows of one split: an image column and a class column."""

    name: str
    rows: Any
    image_column: str
    classes: tuple[str, ...]
    labels: Sequence[int]

    def image(self, index: int) -> Image.Image:
        """Return an image as 8-bit RGB.

        Raises:
            UserError: it can't be read; the message names its row.
        """
        try:
            image = self.rows[index][self.image_column]
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(
                f"cannot be decoded: {error}", where=f"{self.name}, row {index}"
            ) from error
        return load_photo(image)


def load(reference: str, split: Split) -> HuggingFace:
    """Open a split by its name on the hub, or the folder that it was saved to.

    Raises:
        UserError: it can't be loaded (offline, or no such name), or lacks a column of images or of
            named classes.
        ModuleNotFoundError: the library is not installed.
    """
    rows = _split(_open(reference), split, reference)
    image_column, label_column = _columns(rows, reference)
    return HuggingFace(
        name=reference,
        rows=rows,
        image_column=image_column,
        classes=tuple(rows.features[label_column].names),
        labels=tuple(rows[label_column]),
    )


def _open(reference: str) -> Any:
    import datasets

    try:
        if Path(reference).is_dir():
            return datasets.load_from_disk(reference)
        return datasets.load_dataset(reference)
    except Exception as error:  # the library raises many types, of other libraries too
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"cannot be loaded: {reason}",
            where=reference,
            remedy="check the name and the network, or give a folder",
        ) from error


def _split(opened: Any, split: Split, reference: str) -> Any:
    for name in SPLIT_FOLDERS[split]:
        if name in opened:
            return opened[name]
    raise UserError(
        f"has no split {' or '.join(SPLIT_FOLDERS[split])}",
        where=reference,
        remedy=f"has: {', '.join(map(str, opened))}",
    )


def _columns(rows: Any, reference: str) -> tuple[str, str]:
    kinds = {name: type(feature).__name__ for name, feature in rows.features.items()}
    found = [
        next((name for name, kind in kinds.items() if kind == feature), None)
        for feature in ("Image", "ClassLabel")
    ]
    if found[0] is None or found[1] is None:
        raise UserError(
            "has no column of images, or none of classes",
            where=reference,
            remedy=f"has: {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}",
        )
    return found[0], found[1]
