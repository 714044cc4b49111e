"""Modules of the page, by their own tests in Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed: apt install nodejs"
)
def test_the_statistics_of_the_page_pass_their_own_tests() -> None:
    tests = FOLDER / "browser_statistics.test.mjs"
    done = subprocess.run(["node", "--test", tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
