"""`make audit`: what is known is named, and what could not be looked up is never called safe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.packaging import audit

SAFE: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
VULNERABLE: dict[str, Any] = {
    "name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}],
}  # fmt: skip
SKIPPED: dict[str, Any] = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "text"),
    [
        ([SAFE], 0, "no known vulnerability in 1 packages"),
        ([SAFE, VULNERABLE], 1, "b 2: PYSEC-1, fixed in 3"),
        ([SAFE, SKIPPED], 3, "1 of 2 packages are not in the database that was reached: c"),
        ([VULNERABLE, SKIPPED], 1, "b 2: PYSEC-1"),
        ([SKIPPED] * 9, 3, "and 4 more"),
    ],
)
def test_the_report_and_its_exit_code(packages: list[dict[str, Any]], code: int, text: str) -> None:
    lines, found = audit.report(packages)
    assert found == code
    assert text in "\n".join(lines)
    assert ("no known vulnerability" in "\n".join(lines)) == (code == 0)


def test_without_a_network_it_is_one_line(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(f"click==8.2.1 --hash=sha256:{'0' * 64}\n")
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, audit.__file__, str(lock)],
        capture_output=True, text=True, env=os.environ | proxies | {"NO_PROXY": "", "no_proxy": ""},
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith("audit: the database of vulnerabilities is not reachable: ")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
