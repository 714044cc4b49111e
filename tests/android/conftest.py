"""These tests read what the demo's build writes, and one of them calls Maven."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_other_build() -> None:
    """Wait until the `make android-test` that .ci/run runs beside the tests has ended."""
    if "LOLVIT_ANDROID_LOCK" in os.environ:
        with Path(os.environ["LOLVIT_ANDROID_LOCK"]).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
