"""The overhead check measures both ways; its figure depends on the machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_check_times_both_ways_and_compares_the_medians(fast: Path, slow: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.overhead", str(fast), str(slow)]
    command += ["--turns", "3", "--profile", "quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    *turns, last = (line for line in done.stdout.splitlines() if "harness" in line)
    assert len(turns) == 3
    figures = re.findall(r"loop ([\d.]+) ms, harness ([\d.]+) ms, ([+-][\d.]+)%", "\n".join(turns))
    bare, harness = (sorted(float(turn[i]) for turn in figures)[1] for i in (0, 1))
    assert last.startswith(f"medians: bare loop {bare:.3f} ms, harness {harness:.3f} ms")
    assert done.returncode == (1 if "limit 1%" in done.stderr else 0)
