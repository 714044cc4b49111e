"""Whether the Android build can run here without downloading, or may download."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path.home() / ".m2" / "repository"


def require_build(*extra: str) -> None:
    """Skip the test where a program or a part of the build is missing; with LOLVIT_ANDROID set,
    Maven downloads the parts."""
    missing = [name for name in ("java", "javac", "mvn", *extra) if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not found; python android_demo/driver fetch prints the remedy"
        )
    if "LOLVIT_ANDROID" not in os.environ and not (REPOSITORY / "org/robolectric").is_dir():
        pytest.skip("the Android build's 480 MB are not here; LOLVIT_ANDROID=1 has Maven get them")


def require_r8() -> Path:
    """Return R8's jar, or skip the test."""
    require_build()
    jars = sorted((REPOSITORY / "com/android/tools/r8").glob("*/r8-*.jar"))
    if not jars:
        pytest.skip("R8 is not here; make android gets it")
    return jars[-1]
