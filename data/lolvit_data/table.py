"""Which data sets there are, and the way to open one."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lolvit.errors import UserError
from lolvit_data import (
    crops,
    digits,
    fashion_mnist,
    folder,
    hugging_face,
    objects,
    photo_crops,
    shards,
    teacher_outputs,
)
from lolvit_data.dataset import Dataset, Split

# Those that an installed package carries; anything else is a folder or a reference.
BUNDLED: dict[str, Callable[[Split], Dataset]] = {
    "digits": digits.load,
    "crops": crops.load,
    fashion_mnist.NAME: fashion_mnist.load,
    **{name: partial(objects.load_classes, name) for name in objects.SOURCES},
}
HUGGING_FACE = "hf:"


def open_dataset(source: str, split: Split) -> Dataset:
    """Return a split of one of `BUNDLED`, `hf:OWNER/NAME`, a folder of class folders, of
    WebDataset shards, of a data set that Hugging Face's library saved, or of a teacher's outputs.

    Raises:
        UserError: there is no such data set, or it is not laid out as it has to be.
        ModuleNotFoundError: a package that carries or reads it is not installed.
    """
    if source in BUNDLED:
        return BUNDLED[source](split)
    if source.startswith(HUGGING_FACE):
        return hugging_face.load(source.removeprefix(HUGGING_FACE), split)
    if photo_crops.is_photo_crops(source):
        raise UserError(
            "has no classes of its own",
            where=source,
            remedy="train on a teacher's outputs (--teacher), or give the folder"
            f" {photo_crops.NAME} of a run that has them",
        )
    root = Path(source)
    if not root.is_dir():
        raise UserError(
            "is a file" if root.exists() else "no such data set",
            where=source,
            remedy=f"give {', '.join(BUNDLED)}, a folder, or {HUGGING_FACE}OWNER/NAME",
        )
    if teacher_outputs.is_teacher_outputs(root):
        return teacher_outputs.load(root, split)
    if shards.has_shards(root):
        return shards.load(root, split)
    if hugging_face.is_saved(root):
        return hugging_face.load(source, split)
    return folder.load(root, split)


def recorded_source(source: str) -> str:
    """Return a source as a file records it, to be found from any working folder: a folder by its
    absolute path, anything else as it is."""
    if photo_crops.is_photo_crops(source):
        photos = photo_crops.folder_of(source)
        return source if photos is None else f"{photo_crops.NAME}:{os.path.abspath(photos)}"
    named = source in BUNDLED or source.startswith(HUGGING_FACE)
    return os.path.abspath(source) if not named and os.path.exists(source) else source


def source_name(recorded: str) -> str:
    """Return a recorded source without the place where a folder lies on this machine."""
    return Path(recorded).name if os.path.isabs(recorded) else recorded


def is_dataset(source: str) -> bool:
    """Whether `open_dataset` has labels for a source; False for a folder of photos alone."""
    if source in BUNDLED or source.startswith(HUGGING_FACE):
        return True
    root = Path(source)
    return root.is_dir() and (
        teacher_outputs.is_teacher_outputs(root)
        or shards.has_shards(root)
        or hugging_face.is_saved(root)
        or folder.is_labelled(root)
    )
