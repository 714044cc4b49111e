"""Small artifacts, and result documents without measuring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lolvit_benchmarks.results.document import Document
from tests.benchmarks import documents, tiny
from tests.benchmarks.adb_daemon.fixtures import adb_server, attach
from tests.benchmarks.chromium_page import Browser, opened_browser

__all__ = ["adb_server", "attach"]


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model's folder."""
    return tiny.make_folder(tmp_path_factory.mktemp("models") / "fast", "fast")


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model with sixteen times the multiply-adds."""
    folder = tmp_path_factory.mktemp("models") / "slow"
    return tiny.make_folder(folder, "slow", layers=5, width=48)


@pytest.fixture(scope="session")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model that even a GPU in software runs in milliseconds."""
    folder = tmp_path_factory.mktemp("models") / "smallest"
    return tiny.make_folder(folder, "smallest", layers=1, width=8)


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    """A Chromium with a fake camera, for all tests that open a page."""
    with opened_browser(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    ) as browser:
        yield browser


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """An input of the small models."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((1, 3, tiny.SIDE, tiny.SIDE)).astype(np.float32)


@pytest.fixture
def document() -> Document:
    """A complete document with one stable result."""
    return documents.document()
