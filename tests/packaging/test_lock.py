"""The pinned set and the ranges say the same."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def pins() -> dict[str, str]:
    requirements = [Requirement(line) for line in re.findall(r"^[a-z].*==.*$", LOCK, re.MULTILINE)]
    here = [r for r in requirements if r.marker is None or r.marker.evaluate()]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in here}


def ranges() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for group in groups for line in group]
    return [r for r in requirements if r.name != "lolvit"]


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


def test_the_lock_names_no_address() -> None:
    assert "://" not in LOCK
    assert "--" not in LOCK
