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
@pytest.mark.parametrize("module", ["manifest", "statistics"])
def test_a_module_of_the_page_passes_its_own_tests(module: str) -> None:
    tests = FOLDER / f"browser_{module}.test.mjs"
    done = subprocess.run(["node", "--test", tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
