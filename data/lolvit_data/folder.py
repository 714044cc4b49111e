"""A folder of images, one folder a class: DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lolvit.errors import UserError
from lolvit_data.dataset import Split
from lolvit_runtimes.photos import load_photo

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2"}
)
# ImageNet's name of the test split is val.
SPLIT_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "val", "validation"),
}


@dataclass(frozen=True)
class ImageFolder:
    """The images below the class folders of `root`."""

    name: str
    root: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[int, ...]

    def image(self, index: int) -> Image.Image:
        """Return an image as 8-bit RGB.

        Raises:
            UserError: it is truncated or not an image; the message names the file.
        """
        return load_photo(self.files[index])


def load(root: Path, split: Split) -> ImageFolder:
    """List the images of a split; none is opened.

    Raises:
        UserError: a folder is missing, has fewer than two classes, or a class has no image.
    """
    folder = split_folder(root, split)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and _visible(path))
    if len(classes) < 2:
        raise UserError(
            f"holds {len(classes)} class folders",
            where=str(folder),
            remedy="give at least two: one folder a class, named as the class",
        )
    members = {name: _images(folder / name) for name in classes}
    empty = [name for name, files in members.items() if not files]
    if empty:
        raise UserError(
            f"class folders without an image: {', '.join(empty[:4])}",
            where=str(folder),
            remedy="put images into them, or remove them",
        )
    return ImageFolder(
        name=root.name,
        root=folder,
        classes=tuple(classes),
        files=tuple(path for name in classes for path in members[name]),
        labels=tuple(label for label, name in enumerate(classes) for _ in members[name]),
    )


def split_folder(root: Path, split: Split) -> Path:
    """Return the folder of a split.

    Raises:
        UserError: there is none.
    """
    for name in SPLIT_FOLDERS[split]:
        if (root / name).is_dir():
            return root / name
    raise UserError(
        f"has no folder {' or '.join(SPLIT_FOLDERS[split])}",
        where=str(root),
        remedy="lay the images out as train/CLASS/… and test/CLASS/…",
    )


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and _visible(p))


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")
