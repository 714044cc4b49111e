"""Small artifacts, and result documents without measuring."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lolvit.cli import main
from lolvit_benchmarks.backends import benchmark_case
from lolvit_benchmarks.harness import schedule
from lolvit_benchmarks.results.document import Document
from tests.benchmarks import documents, tiny
from tests.benchmarks.adb_daemon.fixtures import adb_server, attach
from tests.benchmarks.chromium_page import Browser, opened_browser
from tests.conftest import Run

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


@pytest.fixture
def short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick profile warms up for a tenth of its time, for tests that ask for no figure."""
    quick = replace(schedule.PROFILES["quick"], warm_up_s=0.03)
    monkeypatch.setitem(schedule.PROFILES, "quick", quick)
    monkeypatch.setattr(benchmark_case, "SELECTION", quick)
    monkeypatch.setattr(schedule, "WARM_UP_S", 0.0025)


@pytest.fixture
def run_here(short_warm_up: None, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `lolvit ARGUMENTS` in this process, with a short warm-up; give what `run_lolvit` does."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = main([*map(str, arguments)])
        shown = capfd.readouterr()
        # With --json Python's own standard output is standard error, until the document.
        before, document = re.fullmatch(r"(.*?)(^\{.*|\Z)", shown.out, re.DOTALL | re.M).groups()
        return subprocess.CompletedProcess(arguments, code, document, before + shown.err)

    return run


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """An input of the small models."""
    generator = np.random.default_rng(0)
    return generator.standard_normal((1, 3, tiny.SIDE, tiny.SIDE)).astype(np.float32)


@pytest.fixture
def document() -> Document:
    """A complete document with one stable result."""
    return documents.document()
