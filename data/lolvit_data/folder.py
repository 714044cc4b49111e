"""A folder of images, one folder a class: DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg, or
DIR/CLASS/*.jpg."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit_data.dataset import Dataset, Split, UnlabelledError
from lolvit_data.imagenet_labels import published_labels
from lolvit_data.splits import match_splits, open_split
from lolvit_runtimes.photo_files import (
    PhotoFiles,
    as_unicode,
    left_out_note,
    list_photos,
    visible_folders,
)
from lolvit_runtimes.photos import load_photo

_NO_CLASS = "in no class folder"


@dataclass(frozen=True)
class ImageFolder:
    """The images below the class folders of `root`."""

    name: str
    root: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it is truncated or not an image; the message names the file.
        """
        return load_photo(self.files[index], color)


def load(root: Path, split: Split) -> Dataset:
    """List the images of a split; none is opened, but for files without a known suffix.

    Raises:
        UserError: a folder is missing, has fewer than two classes, or a class has no image.
    """
    return open_split(_Folders(root), split)


def is_labelled(root: Path) -> bool:
    """Whether a folder has a training split, or class folders and no photos beside them."""
    names = [path.name for path in visible_folders(root)]
    if match_splits(names, "train"):
        return True
    if list_photos(root, recursive=False).photos:
        return False
    return len([folder for folder in visible_folders(root) if list_photos(folder).photos]) > 1


@dataclass(frozen=True)
class _Folders:
    """The split folders of a data set."""

    root: Path
    kind = "folder"
    remedy = "lay the images out as train/CLASS/… and test/CLASS/…"

    @property
    def where(self) -> str:
        return str(self.root)

    def names(self) -> Sequence[str]:
        return [path.name for path in visible_folders(self.root)]

    def part(self, name: str) -> Dataset:
        return _read(self.root / name, self.root.resolve().name)

    def whole(self) -> Dataset | None:
        if not self.names():
            return None
        return _read(self.root, self.root.resolve().name)


def _read(folder: Path, name: str) -> ImageFolder:
    """Return the images of a folder's class folders.

    Raises:
        UnlabelledError: there are fewer than two class folders, or none has an image.
        UserError: some have no image.
    """
    table = published_labels(folder)
    members = _members(folder) if table is None else table.members(folder)
    if len(members) < 2:
        raise UnlabelledError(
            f"holds {len(members)} class folders",
            where=str(folder),
            remedy="give at least two: one folder a class, named as the class",
        )
    empty = [label for label, parts in members.items() if not any(part.photos for part in parts)]
    if len(empty) == len(members):
        raise UnlabelledError(
            f"its {len(members)} class folders have no image", where=str(folder),
            remedy="put images into them",
        )  # fmt: skip
    if empty:
        causes = [part.note() for label in empty for part in members[label]]
        why = "".join(f" ({cause})" for cause in causes[:1] if cause)
        raise UserError(
            f"class folders without an image: {', '.join(empty[:4])}{why}",
            where=str(folder),
            remedy="put images into them, or remove them",
        )
    files = [(photo, label) for label, parts in enumerate(members.values()) for part in parts
             for photo in part.photos]  # fmt: skip
    beside = _beside(folder) if table is None else {}
    note = left_out_note(str(folder), _left_out(members) | beside)
    return ImageFolder(
        name=name,
        root=folder,
        classes=tuple(members),
        files=tuple(path for path, _ in files),
        labels=tuple(label for _, label in files),
        notes=(note,) if note else (),
    )


def _members(folder: Path) -> dict[str, list[PhotoFiles]]:
    """Return what is in each class folder, by the class: its name in Unicode's composed form, since
    macOS decomposes names and other systems keep what they are given."""
    members: dict[str, list[PhotoFiles]] = {}
    for path in visible_folders(folder):
        label = as_unicode(unicodedata.normalize("NFC", path.name))
        members.setdefault(label, []).append(list_photos(path))
    return dict(sorted(members.items()))


def _left_out(members: dict[str, list[PhotoFiles]]) -> dict[str, tuple[Path, ...]]:
    """Return the files that are left out in class folders, by the reason."""
    found: dict[str, tuple[Path, ...]] = {}
    for part in (part for parts in members.values() for part in parts):
        for reason, files in part.left_out.items():
            found[reason] = found.get(reason, ()) + files
    return found


def _beside(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the files beside class folders, which are left out."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != ".")
    return {_NO_CLASS: tuple(files)}
