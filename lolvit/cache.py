"""The folder in the user's cache where the toolkit keeps what it can make or download again."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return `lolvit` in the user's cache (`XDG_CACHE_HOME` or `~/.cache`; on a Mac
    `~/Library/Caches`); in the folder of temporary files for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named) / "lolvit"
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and a user id without an account, as containers run with
        return Path(tempfile.gettempdir()) / f"lolvit-{os.getuid()}"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "lolvit"
