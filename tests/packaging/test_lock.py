"""The pinned set and the ranges say the same."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
# Of an extra that `make install` leaves out.
TENSORFLOW_LOCK = (ROOT / "requirements-tensorflow.lock").read_text()


def pins(lock: str = LOCK) -> dict[str, str]:
    lines = re.findall(r"^[a-z].*==.*$", lock, re.MULTILINE)
    requirements = [Requirement(line.removesuffix(" \\")) for line in lines]
    here = [r for r in requirements if r.marker is None or r.marker.evaluate()]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in here}


def ranges(*extras: str) -> list[Requirement]:
    """Return the requirements of the base and of extras, by default of all but TensorFlow's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    chosen = extras or tuple(name for name in optional if name != "tensorflow")
    groups = [project["dependencies"], *(optional[name] for name in chosen)]
    requirements = [Requirement(line) for group in groups for line in group]
    here = [r for r in requirements if r.marker is None or r.marker.evaluate()]
    return [r for r in here if r.name != "lolvit"]


def test_every_dependency_is_pinned_within_its_range() -> None:
    pinned = pins()
    for requirement in ranges():
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_the_tests_run_with_the_pinned_versions() -> None:
    installed = {
        name: importlib.metadata.version(name).partition("+")[0]
        for name in (canonicalize_name(requirement.name) for requirement in ranges())
    }
    pinned = pins()
    assert installed == {name: pinned[name] for name in installed}


def test_tensorflow_is_pinned_beside_the_same_versions() -> None:
    pinned, tensorflow = pins(), pins(TENSORFLOW_LOCK)
    for requirement in ranges("tensorflow"):
        assert requirement.specifier.contains(tensorflow[canonicalize_name(requirement.name)])
    assert {name: tensorflow[name] for name in pinned.keys() & tensorflow} == {
        name: pinned[name] for name in pinned.keys() & tensorflow
    }
    assert not {name for name in pinned if name.startswith("tensorflow")}


@pytest.mark.parametrize("lock", [LOCK, TENSORFLOW_LOCK], ids=["all", "tensorflow"])
def test_the_lock_names_no_address(lock: str) -> None:
    assert "://" not in lock
    assert set(re.findall(r"--[a-z-]*", lock)) == {"--hash"}


@pytest.mark.parametrize("lock", [LOCK, TENSORFLOW_LOCK], ids=["all", "tensorflow"])
def test_every_pin_has_the_digests_of_its_files(lock: str) -> None:
    entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert re.search(r" \\\n    --hash=sha256:[0-9a-f]{64}\b", entry), entry
