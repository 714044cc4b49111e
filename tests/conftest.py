"""Fixtures that more than one package's tests use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.skips import pytest_configure

__all__ = ["pytest_configure"]

# What else the machine does decides how long an example takes; it says nothing of the code.
# A run is repeatable: whoever lands a change sees the examples that its author saw. New ones are
# looked for on purpose: pytest --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeatable")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_lolvit() -> Run:
    """Run `lolvit ARGUMENTS` in a child process; give its exit code, stdout and stderr."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lolvit", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
        )

    return run
