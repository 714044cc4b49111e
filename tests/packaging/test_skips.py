"""A skip that is not on the list fails a run of continuous integration, and is named in any run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import expected_reasons

ROOT = Path(__file__).parents[2]
LISTED = "import pytest\n\n@pytest.mark.skip(reason='root may write anywhere')\ndef test_a(): ...\n"
NOT_LISTED = "import pytest\n\ndef test_b(): pytest.skip('adb is not installed')\n"
MODULE = "import pytest\npytest.importorskip('no_such_module', reason='no such module')\n"
EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail\ndef test_c(): assert False\n"


def run(folder: Path, ci: str, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_passes.py").write_text("def test_passes(): ...\n")
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", *options, str(folder)]
    environment = os.environ | {
        "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize(
    "options", [(), ("-p", "xdist", "-n", "2", "--dist", "loadfile")], ids=["one", "xdist"]
)
@pytest.mark.parametrize("text", [NOT_LISTED, MODULE], ids=["test", "module"])
def test_a_skip_that_is_not_listed_fails_in_ci(
    tmp_path: Path, text: str, options: tuple[str, ...]
) -> None:
    done = run(tmp_path, "true", *options, file=text, listed=LISTED)
    assert done.returncode == 1, done.stdout
    assert "NOT EXPECTED: " in done.stdout
    assert "To have them run: make test-deps" in done.stdout
    assert "1  root may write anywhere" in done.stdout


def test_elsewhere_it_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    done = run(tmp_path, "", file=NOT_LISTED)
    assert done.returncode == 0
    assert "adb is not installed" in done.stdout
    assert "To have them run: make test-deps" in done.stdout


def test_listed_skips_and_expected_failures_pass_in_ci(tmp_path: Path) -> None:
    done = run(tmp_path, "true", listed=LISTED, xfail=EXPECTED_FAILURE)
    assert done.returncode == 0, done.stdout
    assert "NOT EXPECTED" not in done.stdout


def test_a_failure_stays_one(tmp_path: Path) -> None:
    assert run(tmp_path, "true", fails="def test_fails(): assert False\n").returncode == 1


def test_no_pattern_of_the_list_matches_every_reason() -> None:
    assert expected_reasons()
    assert not [pattern for pattern in expected_reasons() if pattern.search("any other reason")]
