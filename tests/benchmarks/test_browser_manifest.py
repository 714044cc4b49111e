"""The page's reader of manifests, by its own tests in Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("browser_manifest.test.mjs")


@pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed: apt install nodejs"
)
def test_manifests_and_jobs_of_both_schemas_become_one_form() -> None:
    done = subprocess.run(["node", "--test", TESTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
