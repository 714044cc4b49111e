"""WebDataset shards: DIR/train-000000.tar …, or DIR/train/000000.tar …, each image as KEY.jpg
beside its class in KEY.cls.

Shards are indexed once (member offsets, by the standard library's tarfile) and read by random
access, so that a distributed evaluation sees each sample once. The webdataset library streams
instead, and its version 1 no longer has an indexed reader.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color
from lolvit.text import read_lines
from lolvit_data.dataset import Dataset, Split
from lolvit_data.splits import (
    SPLIT_NAMES,
    labelled_indices,
    match_splits,
    open_split,
    require_two_classes,
)
from lolvit_runtimes.photo_files import is_hidden, photo_suffixes, visible_folders
from lolvit_runtimes.photos import load_encoded

CLASSES_FILE = "classes.txt"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
_NO_LABEL = ("", "-1", "none", "null")
_LONGEST_LABEL = 7  # digits; a name is made for each class up to the highest
_ALL_NAMES = tuple(name for names in SPLIT_NAMES.values() for name in names)


@dataclass(frozen=True)
class Member:
    """Where the bytes of a file lie in a shard."""

    shard: Path
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Return the file's bytes."""
        with self.shard.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)

    def where(self) -> str:
        """Return the shard and the name in it."""
        return f"{self.shard}: {self.name}"


@dataclass(frozen=True)
class Shards:
    """The samples of some tar files, one after another."""

    name: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    images: tuple[Member, ...]
    notes: tuple[str, ...] = ()

    def image(self, index: int, color: Color = "RGB") -> Image.Image:
        """Return an image as 8-bit RGB, or in another `color`.

        Raises:
            UserError: it is truncated or not an image; the message names its shard and file.
        """
        member = self.images[index]
        return load_encoded(member.read(), where=member.where(), color=color)


def has_shards(root: Path) -> bool:
    """Whether a folder, or a split folder in it, holds tar files.

    Raises:
        UserError: they are compressed, which allows no random access.
    """
    found = _tar_files(root)
    compressed = [path for path in _visible_files(root) if path.name.lower().endswith(_COMPRESSED)]
    if compressed and not any(found.values()):
        raise UserError(
            "is compressed: its images can't be read one by one",
            where=str(compressed[0]),
            remedy="decompress it to a .tar file",
        )
    return any(found.values())


def load(root: Path, split: Split) -> Dataset:
    """Index the shards of a split and read their labels; `classes.txt` names the classes.

    Raises:
        UserError: there are no shards or one is damaged, a sample lacks its image or its class, or
            `classes.txt` does not match.
    """
    return open_split(_ShardSplits(root), split)


@dataclass(frozen=True)
class _ShardSplits:
    """The shards of a folder, by the split that their names, or their folders, have."""

    root: Path
    kind = "shards"
    remedy = "name them train-000000.tar … and test-000000.tar …"

    @property
    def where(self) -> str:
        return str(self.root)

    def names(self) -> Sequence[str]:
        return [name for name in _tar_files(self.root) if name]

    def part(self, name: str) -> Dataset:
        return _read(self.root, name, _tar_files(self.root)[name])

    def whole(self) -> Dataset | None:
        paths = _tar_files(self.root).get("", [])
        return _read(self.root, "", paths) if paths else None


def _visible_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not is_hidden(p.name))


def _tar_files(root: Path) -> dict[str, list[Path]]:
    """Return the tar files of each split, by the split's name; those of no split under ''."""
    found: dict[str, list[Path]] = {}
    for path in _visible_files(root):
        if path.suffix.lower() == ".tar":
            words = re.split(r"[^a-z]+", path.stem.lower())
            name = next((word for word in words if word in _ALL_NAMES), "")
            found.setdefault(name, []).append(path)
    for folder in visible_folders(root):
        if match_splits([folder.name], "train") or match_splits([folder.name], "test"):
            tars = [path for path in _visible_files(folder) if path.suffix.lower() == ".tar"]
            if tars:
                found.setdefault(folder.name.lower(), []).extend(tars)
    return found


def _read(root: Path, split: str, paths: list[Path]) -> Shards:
    samples = [sample for path in paths for sample in _samples(path)]
    numbers = [_label(members) for members in samples]
    classes = _class_names(root / CLASSES_FILE, numbers)
    where = f"{root}: {split or 'its'} shards"
    kept, notes = labelled_indices(numbers, classes, where)
    labels = tuple(number for number in numbers if number is not None and number != -1)
    require_two_classes(labels, str(root))
    return Shards(
        name=root.resolve().name,
        classes=classes,
        labels=labels,
        images=tuple(_image(samples[index]) for index in kept),
        notes=notes,
    )


def _samples(path: Path) -> Iterator[list[Member]]:
    """Yield the files of each sample: those that follow each other with one key, which is a name up
    to the first dot behind its last slash."""
    sample: list[Member] = []
    try:
        # Members are read at their offsets: compressed content under the name .tar is refused.
        with tarfile.open(path, "r:") as archive:
            for entry in archive:
                if not entry.isfile() or any(map(is_hidden, Path(entry.name).parts)):
                    continue
                member = Member(path, entry.name, entry.offset_data, entry.size)
                if sample and _key(sample[0].name) != _key(entry.name):
                    yield sample
                    sample = []
                sample.append(member)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"not a tar file, or cut short: {error}", where=str(path), remedy="fetch it again"
        ) from error
    if sample:
        yield sample


def _key(name: str) -> str:
    folder, _, leaf = name.rpartition("/")
    return f"{folder}/{leaf.partition('.')[0]}"


def _image(members: list[Member]) -> Member:
    for member in members:
        if Path(member.name).suffix.lower() in photo_suffixes():
            return member
    raise UserError("has no image", where=members[0].where(), remedy="add KEY.jpg beside KEY.cls")


def _label(members: list[Member]) -> int | None:
    """Return a sample's class number; None where its file says that it has none."""
    for member in members:
        if member.name.lower().endswith(".cls"):
            text = member.read().strip().decode(errors="replace")
            if text.lower() in _NO_LABEL:
                return None
            if text.isdecimal() and len(text) <= _LONGEST_LABEL:
                return int(text)
            raise UserError(
                "holds no class number", where=member.where(), remedy="write 0, 1, 2, …"
            )
    raise UserError("has no class", where=members[0].where(), remedy="add KEY.cls beside KEY.jpg")


def _class_names(path: Path, labels: Sequence[int | None]) -> tuple[str, ...]:
    """Return one name a line of `path`, or the numbers themselves where there is no such file.

    Raises:
        UserError: a label is beyond the names.
    """
    count = max((label for label in labels if label is not None), default=-1) + 1
    names = [str(number) for number in range(count)]
    if path.exists():
        names = read_lines(path, "class names")
    if count > len(names):
        raise UserError(
            f"names {len(names)} classes, the labels go up to {count - 1}",
            where=str(path),
            remedy="write one name a line, in the order of the classes",
        )
    return tuple(names)
