"""The code blocks of the tutorials, of README and of a guide run, and print what the page shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from tests.tutorials.pages import OTHERS, ROOT, names, read

NAMES = names()
PAGES = [*NAMES, *OTHERS]


@cache
def executed() -> dict[str, list[dict[str, Any]]]:
    """Run all pages, in forks of one process; return their blocks."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.tutorials.pages", *PAGES], capture_output=True, text=True,
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def masked(line: str) -> str:
    """Return a line without what differs between runs and machines: numbers, and spaces by
    width."""
    return re.sub(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", "#", " ".join(line.split()))


def as_text(printed: str) -> str:
    """Return what was printed in one line: where numbers are longer, lines end elsewhere."""
    return " ".join(masked(line) for line in printed.splitlines() if line.strip())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and opens pseudo terminals")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_and_prints_what_it_shows(name: str) -> None:
    for block in executed()[name]:
        assert block["code"] == block["exit"], f"{block['text']}\n{block['printed']}"
        if block["shown"] is None or not block["compared"]:
            continue
        printed = as_text(block["printed"])
        for part in re.split(r"^…$", block["shown"], flags=re.MULTILINE):
            assert as_text(part) in printed, block["printed"]


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_has_blocks_and_shows_outputs(name: str) -> None:
    blocks = read(name).blocks
    assert len(blocks) >= 3
    assert any(block.shown for block in blocks)
