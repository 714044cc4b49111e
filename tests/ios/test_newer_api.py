"""Apple's members that the Swift library uses although iOS 16 lacks them: all are listed, with the
test of the version that guards each. Linux has no SDK that could tell; the stubs say since when a
member exists, as Apple's documentation does."""

from __future__ import annotations

import re
from pathlib import Path

import lolvit

PACKAGE = Path(__file__).resolve().parents[2] / "ios_demo" / "LOLViT"
LISTED = re.compile(r"^(\S+) (\S+): (.+)$", re.MULTILINE)
# A declaration of a stub that exists since a newer system than the oldest.
NEWER = re.compile(
    r"@available\(iOS [\d.]+, macOS [\d.]+, \*\)\s+(?:public |static |final )*"
    r"(?:class|struct|enum|var|func|let) (\w+)"
)
COMMENT = re.compile(r"//.*$", re.MULTILINE)


def newer_names() -> dict[str, str]:
    """The names that stubs declare as newer, with the name under which they are listed: for those
    of Core AI, which is newer as a whole, that of the framework."""
    found: dict[str, str] = {}
    for path in (PACKAGE / "Stubs").rglob("*.swift"):
        framework = path.parent.name
        for name in NEWER.findall(path.read_text()):
            if not name.startswith("Stub") and name != "Span":
                found[name] = framework if framework == "CoreAI" else name
    return found


def used_members() -> set[tuple[str, str]]:
    """Each newer member that a source file uses, as it is listed."""
    names = newer_names()
    found = set()
    for path in (PACKAGE / "Sources").rglob("*.swift"):
        code = COMMENT.sub("", path.read_text())
        relative = path.relative_to(PACKAGE / "Sources").as_posix()
        found |= {(names[word], relative) for word in re.findall(r"\w+", code) if word in names}
    return found


def listed_members() -> list[tuple[str, str, str]]:
    text = (PACKAGE / "newer-api.txt").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [(name.split(".")[-1], file, guard) for name, file, guard in LISTED.findall(lines)]


def test_stubs_name_newer_members_of_each_framework_that_has_them() -> None:
    assert {"MLComputePlan", "MLComputeDevice", "availableComputeDevices"} <= set(newer_names())
    assert newer_names()["AIModel"] == "CoreAI"


def test_newer_members_are_listed_and_listed_ones_are_used() -> None:
    listed = listed_members()
    assert {(name, file) for name, file, _ in listed} == used_members()
    assert len(listed) == len(set(listed)) >= 5


def test_each_is_guarded_by_the_test_of_the_version_that_is_listed() -> None:
    for name, file, guard in listed_members():
        assert guard in (PACKAGE / "Sources" / file).read_text(), name


def test_the_library_has_the_version_of_the_python_package() -> None:
    source = (PACKAGE / "Sources" / "LOLViT" / "System.swift").read_text()
    assert f'static let version = "{lolvit.__version__}"' in source
