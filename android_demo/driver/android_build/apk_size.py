"""The size of an APK by part, compressed as in the file."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

from lolvit.errors import GateFailedError

REST = "signature, zip directory, padding"


def sizes_by_part(apk: Path) -> dict[str, int]:
    """Return the bytes of each part, the largest first; their sum is the file's size."""
    parts: Counter[str] = Counter()
    with zipfile.ZipFile(apk) as archive:
        for entry in archive.infolist():
            parts[_part(entry.filename)] += entry.compress_size
    parts[REST] = apk.stat().st_size - parts.total()
    return dict(parts.most_common())


def _part(name: str) -> str:
    folder, _, rest = name.partition("/")
    if folder == "lib":
        return f"natives, {rest.partition('/')[0]}"
    if name.startswith("assets/lolvit/"):
        return f"model, {name.split('/')[2]}"
    if folder == name and name.endswith(".dex"):
        return "code"
    return "resources and manifest"


def require_budget(apk: Path, megabytes: float) -> None:
    """Compare an APK's size with its budget.

    Raises:
        GateFailedError: it is over it.
    """
    size = apk.stat().st_size / 1e6
    if size > megabytes:
        largest, share = next(iter(sizes_by_part(apk).items()))
        raise GateFailedError(
            f"{size:.2f} MB, its budget is {megabytes:g} MB; {largest} takes {share / 1e6:.2f} MB",
            where=str(apk),
            remedy="leave out a model, or build for one processor with --abi arm64-v8a",
        )
