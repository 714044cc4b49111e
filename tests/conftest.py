"""Fixtures that more than one package's tests use."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import lowering_children, onnx_operators
from tests.skips import pytest_configure

__all__ = ["pytest_configure"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: at the end one process would wait for another
    one's. Of these come Android's last, one of which may wait for another build."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.parent.name == "android"))


def pytest_collection_finish() -> None:
    """Leave what is imported and collected by now out of garbage collections: there are millions of
    such objects, which a whole collection would look at each time."""
    gc.collect()
    gc.freeze()


# What else the machine does decides how long an example takes; it says nothing of the code.
# A run is repeatable: whoever lands a change sees the examples that its author saw. New ones are
# looked for on purpose: pytest --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("explore"), derandomize=True)
settings.load_profile("repeatable")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def lowering_child() -> Iterator[None]:
    """Exports of these processes share the one that lowers beside them."""
    with lowering_children.kept():
        yield


@pytest.fixture(scope="session", autouse=True)
def onnx_operators_read_once() -> Iterator[None]:
    """Exports to ONNX of these processes share torch's table of operators."""
    with onnx_operators.read_once():
        yield


@pytest.fixture
def run_lolvit() -> Run:
    """Run `lolvit ARGUMENTS` in a child process; give its exit code, stdout and stderr."""

    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lolvit", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
        )

    return run
