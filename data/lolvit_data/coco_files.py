"""Where the files of a data set in COCO's format are: as COCO, Roboflow, CVAT and Label Studio lay
them out, and as people name them."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

from lolvit.errors import UserError
from lolvit_data.annotations import SPLITS
from lolvit_data.dataset import Split

_ROBOFLOW: Final = "_annotations.coco.json"
_KEYS: Final = (b'"images"', b'"annotations"', b'"categories"')
_MOST_FILES: Final = 8  # a folder with more JSON files has one for each image
_SPLIT_NAMES: Final = sorted(chain.from_iterable(SPLITS.values()), key=len, reverse=True)
_SPLIT: Final = re.compile(rf"(?:^|[^a-z])({'|'.join(_SPLIT_NAMES)})(\d*)(?![a-z0-9])")


def annotation_files(root: Path) -> dict[str, Path]:
    """Return the files of annotations in a folder by the names of their splits, such as train2017;
    one that names no split by its own name.

    Raises:
        UserError: several are of one split.
    """
    own = sorted((root / "annotations").glob("*instances_*.json"))
    if own:
        return {path.stem.replace("instances_", ""): path for path in own}
    roboflow = sorted(root.glob(f"*/{_ROBOFLOW}"))
    if roboflow:
        return {path.parent.name: path for path in roboflow}
    for folder in (root / "annotations", root):
        paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
        if 0 < len(paths) <= _MOST_FILES and (found := [*filter(_is_coco, paths)]):
            return _by_split(root, found)
    return {}


def _by_split(root: Path, paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(_split_name(path) or path.stem, path)
        if other != path:
            raise UserError(f"has {other.name} and {path.name}, of one split", where=str(root),
                            remedy="move one of them elsewhere")  # fmt: skip
    return found


def of_split(files: Mapping[str, Path], split: Split) -> Path | None:
    """Return the file of a split, in the order of preference of its names."""
    for start in SPLITS[split]:
        for name, path in files.items():
            if name.startswith(start):
                return path
    return None


def annotation_file(root: Path, split: Split) -> Path:
    """Return the file of a split. One that names none, such as CVAT's instances_default.json, is
    that of the training split if it is the only one.

    Raises:
        UserError: there is none.
    """
    files = annotation_files(root)
    if (found := of_split(files, split)) is not None:
        return found
    others = [path for name, path in files.items() if not name.startswith(SPLITS["test"])]
    if split == "train" and len(others) == 1:
        return others[0]
    have = ", ".join(path.name if path.name != _ROBOFLOW else name for name, path in files.items())
    raise UserError(
        f"has no annotations of the {split} split, only {have}", where=str(root),
        remedy=f"name them instances_{SPLITS[split][0]}2017.json",
    )  # fmt: skip


def find_images(root: Path, path: Path, names: Mapping[int, str]) -> dict[int, Path]:
    """Return the images that are there, by their ids: below the first folder that has any, by their
    paths in the file of annotations or, where none is, by their file names alone.

    Raises:
        UserError: there is none.
    """
    relative = {number: name.replace("\\", "/") for number, name in names.items()}
    alone = {number: PurePosixPath(name).name for number, name in relative.items()}
    folders = _folders_of_images(root, path)
    for given in (relative, alone):
        for folder in folders:
            found = {number: folder / name for number, name in given.items()}
            found = {number: image for number, image in found.items() if image.is_file()}
            if found:
                return found
    looked_in = ", ".join(f"{folder.relative_to(root)}/" for folder in folders if folder != root)
    raise UserError(
        f"none of its {len(names)} images is in {looked_in or 'the folder'}", where=str(path),
        remedy="put the images into train2017/ and val2017/, or into images/",
    )  # fmt: skip


def _folders_of_images(root: Path, path: Path) -> list[Path]:
    """Return the folders that may have the images of a file, most likely ones first."""
    if path.name == _ROBOFLOW:
        return [path.parent]
    names = [path.stem.replace("instances_", "")]
    if (found := _split_name(path)) is not None:
        split = next(each for each in SPLITS.values() if found.rstrip("0123456789") in each)
        names += [found, *split, *(f"{each}2017" for each in split)]
    tried: Iterable[Path] = chain.from_iterable((root / n, root / "images" / n) for n in names)
    whole = (root / "images", path.parent / "images", root, path.parent)
    return [folder for folder in dict.fromkeys((*tried, *whole)) if folder.is_dir()]


def _split_name(path: Path) -> str | None:
    """Return the split that a file's name has, with the year: train2017 of instances_train2017."""
    found = _SPLIT.search(path.stem.lower())
    return found and "".join(found.groups())


def _is_coco(path: Path) -> bool:
    """Whether a file has the keys of COCO's format; it may be gigabytes."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return all(data.find(key) >= 0 for key in _KEYS)
    except (OSError, ValueError):  # an empty file can't be mapped
        return False
