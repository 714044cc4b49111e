"""Small real data sets in the forms that users have them: digits as files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from PIL import Image

from lolvit_data.dataset import Split, even_share
from lolvit_data.digits import load

CLASSES = ("0", "1", "2")


def few_digits(
    split: Split, per_class: int, classes: tuple[str, ...] = CLASSES
) -> list[tuple[str, Image.Image]]:
    """Return (class name, image) of some digits of some classes."""
    digits = load(split)
    chosen = [i for i, label in enumerate(digits.labels) if str(label) in classes]
    kept = even_share([digits.labels[i] for i in chosen], per_class * len(classes))
    return [(str(digits.labels[chosen[k]]), digits.image(chosen[k])) for k in kept]


def write_folder(
    root: Path, train: int = 16, test: int = 6, classes: tuple[str, ...] = CLASSES
) -> Path:
    """Write root/train/CLASS/N.png and root/test/CLASS/N.png."""
    counts: dict[Split, int] = {"train": train, "test": test}
    for split, count in counts.items():
        for number, (name, image) in enumerate(few_digits(split, count, classes)):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number:04}.png")
    return root


def write_shards(root: Path, train: int = 8, test: int = 4, shards: int = 2) -> Path:
    """Write root/train-00000N.tar and root/test-00000N.tar, samples dealt in turn."""
    root.mkdir(parents=True, exist_ok=True)
    counts: dict[Split, int] = {"train": train, "test": test}
    for split, count in counts.items():
        samples = few_digits(split, count)
        for shard in range(shards):
            with tarfile.open(root / f"{split}-{shard:06}.tar", "w") as archive:
                for number in range(shard, len(samples), shards):
                    name, image = samples[number]
                    buffer = io.BytesIO()
                    image.save(buffer, "png")
                    add_member(archive, f"{number:05}.png", buffer.getvalue())
                    add_member(archive, f"{number:05}.cls", name.encode())
    return root


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file to a tar file."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
