"""`make release`: its notes, checksums and limits, without installing anything."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lolvit
from lolvit.commands import COMMANDS
from tests.packaging import release
from tests.packaging.release import Row

CHANGELOG = """# Changelog

## [Unreleased]

- later

## [1.2.0] - 2027-01-01

### Added

- a

## [1.1.0] - 2026-12-01

- older
"""


@pytest.mark.parametrize(
    ("version", "section", "notes"),
    [
        ("1.2.0", "1.2.0", "### Added\n\n- a\n"),
        ("1.1.0", "1.1.0", "- older\n"),
        ("1.3.0", "Unreleased", "- later\n"),
    ],
)
def test_the_notes_are_the_section_of_the_version(version: str, section: str, notes: str) -> None:
    assert release.release_notes(CHANGELOG, version) == (section, notes)


def test_the_changelog_has_a_section_of_this_version_as_keep_a_changelog_wants_it() -> None:
    changelog = (release.ROOT / "CHANGELOG.md").read_text()
    name, notes = release.release_notes(changelog, lolvit.__version__)
    assert name == lolvit.__version__
    kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    found = re.findall(r"^### (.+)$", notes, re.MULTILINE)
    assert found == [kind for kind in kinds if kind in found] != []
    first, *released = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert first == "[Unreleased]"
    dates = [re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d\d-\d\d)", each) for each in released]
    assert [date[1] for date in dates if date] == sorted((d[1] for d in dates if d), reverse=True)
    assert all(dates)


def test_sha256sum_accepts_the_checksums_and_finds_a_change(tmp_path: Path) -> None:
    files = [tmp_path / "b.whl", tmp_path / "a.tar.gz"]
    for number, path in enumerate(files):
        path.write_bytes(bytes([number]) * 100)
    (tmp_path / "SHA256SUMS").write_text(release.checksums(files))
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "a.tar.gz: OK\nb.whl: OK\n"
    files[0].write_bytes(b"changed")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


def test_each_extra_has_a_command_that_exists() -> None:
    assert set(release.COMMANDS) == {release.BASE, *release.extras_of_the_project()}
    assert {words[0] for words in release.COMMANDS.values()} <= set(COMMANDS)


GOOD = [Row("3.11", "ort", ""), Row("3.13", "qnn", "there is no wheel for this Python")]


@pytest.mark.parametrize(
    ("rows", "base_mb", "predict_s", "expected"),
    [
        (GOOD, 59.9, 0.9, []),
        ([Row("3.11", "ort", "no such file")], 1, 0.1, ["Python 3.11, ort: no such file"]),
        (GOOD, 61, 0.1, ["the base downloads 61.0 MB, limit 60"]),
        (GOOD, 1, 1.25, ["lolvit predict takes 1.25 s, limit 1"]),
    ],
)
def test_what_stops_a_release(
    rows: list[Row], base_mb: float, predict_s: float, expected: list[str]
) -> None:
    assert release.failures(rows, base_mb, predict_s) == expected


def test_on_a_busy_machine_the_limit_is_for_processor_time() -> None:
    assert release.undisturbed(0.8, 0.9, load=1.5, cores=2)[0] == 0.8
    assert release.undisturbed(2.5, 0.9, load=7.5, cores=2)[0] == 0.9


def test_of_the_wheels_of_a_package_the_one_that_pip_takes_is_counted() -> None:
    here = f"cp3{sys.version_info.minor}"
    own = f"a-1-{here}-{here}-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    others = ["a-1-cp38-cp38-manylinux_2_17_x86_64.whl", f"a-1-{here}-{here}-win_amd64.whl"]
    if platform.machine() == "x86_64" and sys.platform == "linux":
        assert release.fitting(["a-1-py3-none-any.whl", *others, own]) == own
    assert release.fitting(["a-1-py3-none-any.whl", *others]) == "a-1-py3-none-any.whl"
    assert release.fitting(others) is None


def test_pins_are_the_lock_without_digests(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("# made by\na-b==1.2 \\\n    --hash=sha256:00\n    # via c\nc==2 ; x \\\n")
    assert release.pins(lock) == "a-b==1.2\nc==2\n"


def test_only_a_python_of_the_version_is_taken() -> None:
    assert release.interpreter("3.11")
    assert release.interpreter("3.1") is None
