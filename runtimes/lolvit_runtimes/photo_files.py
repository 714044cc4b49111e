"""List the photos below a folder, as operating systems, notebooks, annotators and download sites
leave it: the one reader of folders for training, evaluation, calibration and `lolvit predict`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from lolvit.text import one_line
from lolvit_runtimes.photos import PHOTO_FORMATS, UNREAD_SUFFIXES, is_photo

HIDDEN = "hidden or of the operating system"
NO_PHOTO = "not a photo"
EMPTY = "empty"
UNREAD = "in a format that is not read: convert them to JPEG"
UNFINISHED = "unfinished downloads"
BROKEN_LINK = "links to nothing"
NO_ACCESS = "in folders that may not be read"

# Folders of previews and copies that macOS, Synology, QNAP, Windows and Python write.
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information",
     "lost+found", "__pycache__"}
)  # fmt: skip
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_UNFINISHED_SUFFIXES = frozenset({".part", ".partial", ".crdownload", ".download", ".opdownload"})
_LISTED = 3  # names for each reason in a message


@dataclass(frozen=True)
class PhotoFiles:
    """The photos below a folder, by path; the other files there, by the reason to leave them out.

    No photo was decoded: one with a known suffix may still turn out to be none.
    """

    root: Path
    photos: tuple[Path, ...]
    left_out: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def note(self) -> str | None:
        """Return one line: how many files are left out, and why; None if none is."""
        return left_out_note(str(self.root), self.left_out)


def left_out_note(where: str, left_out: dict[str, tuple[Path, ...]]) -> str | None:
    """Return one line with the number of files left out, and names for each reason; None if there
    are none."""
    total = sum(map(len, left_out.values()))
    if not total:
        return None
    reasons = ", ".join(
        f"{len(files)} {reason} ({_names(files)})" for reason, files in left_out.items() if files
    )
    return f"{where}: {total} {'file' if total == 1 else 'files'} left out: {reasons}"


def _names(files: tuple[Path, ...]) -> str:
    more = " …" if len(files) > _LISTED else ""
    return ", ".join(one_line(path.name) for path in files[:_LISTED]) + more


def as_unicode(name: str) -> str:
    """Return a file name as valid Unicode: bytes that are no text are escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")


@cache
def photo_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the formats that `load_photo` reads."""
    return frozenset(
        suffix
        for suffix, format in Image.registered_extensions().items()
        if format in PHOTO_FORMATS
    )


def list_photos(root: Path, *, recursive: bool = True) -> PhotoFiles:
    """Return the photos in a folder and (`recursive`) the folders in it, links included; of files
    without a known suffix, those that have a photo's header."""
    photos: list[Path] = []
    left_out: dict[str, list[Path]] = {}
    for path, reason in _walk(root, (_identity(root),), recursive):
        if reason is None:
            photos.append(path)
        else:
            left_out.setdefault(reason, []).append(path)
    return PhotoFiles(
        root=root,
        photos=tuple(sorted(photos)),
        left_out={reason: tuple(sorted(files)) for reason, files in sorted(left_out.items())},
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name belongs to a system or an editor, not to the user."""
    return name.startswith(".") or name.endswith("~") or name.lower() in _SYSTEM_FOLDERS


def visible_folders(root: Path) -> list[Path]:
    """Return the folders in a folder, links included, that are not a system's."""
    return sorted(path for path in root.iterdir() if not is_hidden(path.name) and path.is_dir())


def _walk(
    folder: Path, above: tuple[tuple[int, int], ...], recursive: bool, hidden: bool = False
) -> Iterator[tuple[Path, str | None]]:
    """Yield each file with the reason to leave it out, or None. `above`: the folders that this one
    is in; a link to one of them is not followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder, NO_ACCESS
        return
    for entry in entries:
        path = Path(entry.path)
        out_of_sight = hidden or is_hidden(entry.name)
        if _is_folder(entry, follow_links=not out_of_sight):
            if recursive and (identity := _identity(path)) not in above:
                yield from _walk(path, (*above, identity), recursive, out_of_sight)
        else:
            yield path, HIDDEN if out_of_sight else _reason(entry, path)


def _is_folder(entry: os.DirEntry[str], *, follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a link to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _reason(entry: os.DirEntry[str], path: Path) -> str | None:
    """Return why a file is left out, or None for a photo."""
    suffix = path.suffix.lower()
    if path.name.lower() in _SYSTEM_FILES:
        return HIDDEN
    if suffix in UNREAD_SUFFIXES:
        return UNREAD
    if suffix in _UNFINISHED_SUFFIXES:
        return UNFINISHED
    try:
        if not entry.is_file():
            return BROKEN_LINK if entry.is_symlink() else NO_PHOTO
        size = entry.stat().st_size
    except OSError:
        return BROKEN_LINK
    if suffix in photo_suffixes():
        return None if size else EMPTY
    return None if is_photo(path) else NO_PHOTO
