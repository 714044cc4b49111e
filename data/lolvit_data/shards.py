"""WebDataset shards: DIR/train-000000.tar …, each image as KEY.jpg beside its class in KEY.cls.

Shards are indexed once (member offsets, by the standard library's tarfile) and read by random
access, so that a distributed evaluation sees each sample once. The webdataset library streams
instead, and its version 1 no longer has an indexed reader.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lolvit.errors import UserError
from lolvit_data.dataset import Split
from lolvit_data.folder import SPLIT_FOLDERS, SUFFIXES
from lolvit_runtimes.photos import load_encoded

CLASSES_FILE = "classes.txt"


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

    def image(self, index: int) -> Image.Image:
        """Return an image as 8-bit RGB.

        Raises:
            UserError: it is truncated or not an image; the message names its shard and file.
        """
        member = self.images[index]
        return load_encoded(member.read(), where=member.where())


def shard_paths(root: Path, split: Split) -> list[Path]:
    """Return the tar files of a split, in order; none where the folder holds no shards."""
    return sorted(p for p in root.glob("*.tar") if p.name.startswith(SPLIT_FOLDERS[split]))


def load(root: Path, split: Split) -> Shards:
    """Index the shards of a split and read their labels; `classes.txt` names the classes.

    Raises:
        UserError: there are no shards or one is damaged, a sample lacks its image or its class, or
            `classes.txt` does not match.
    """
    paths = shard_paths(root, split)
    if not paths:
        raise UserError(
            f"has no {' or '.join(SPLIT_FOLDERS[split])} shards",
            where=str(root),
            remedy="name them train-000000.tar … and test-000000.tar …",
        )
    samples = [sample for path in paths for sample in _samples(path)]
    labels = tuple(_label(members) for members in samples)
    return Shards(
        name=root.name,
        classes=_class_names(root / CLASSES_FILE, labels),
        labels=labels,
        images=tuple(_image(members) for members in samples),
    )


def _samples(path: Path) -> Iterator[list[Member]]:
    """Yield the files of each sample: those that follow each other with one key, which is a name up
    to the first dot behind its last slash."""
    sample: list[Member] = []
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                if not entry.isfile():
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
        if Path(member.name).suffix.lower() in SUFFIXES:
            return member
    raise UserError("has no image", where=members[0].where(), remedy="add KEY.jpg beside KEY.cls")


def _label(members: list[Member]) -> int:
    for member in members:
        if member.name.endswith(".cls"):
            text = member.read().strip()
            if text.isdigit():
                return int(text)
            raise UserError(
                "holds no class number", where=member.where(), remedy="write 0, 1, 2, …"
            )
    raise UserError("has no class", where=members[0].where(), remedy="add KEY.cls beside KEY.jpg")


def _class_names(path: Path, labels: Sequence[int]) -> tuple[str, ...]:
    """Return one name a line of `path`, or the numbers themselves where there is no such file.

    Raises:
        UserError: a label is beyond the names, or there are fewer than two classes.
    """
    count = max(labels, default=-1) + 1
    names = _read_lines(path) if path.exists() else [str(number) for number in range(count)]
    if count > len(names):
        raise UserError(
            f"names {len(names)} classes, the labels go up to {count - 1}",
            where=str(path),
            remedy="write one name a line, in the order of the classes",
        )
    if len(set(labels)) < 2:
        raise UserError(
            "fewer than two classes have images",
            where=str(path.parent),
            remedy="give images of at least two",
        )
    return tuple(names)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"no labels: {error}", where=str(path), remedy="write it again") from error
