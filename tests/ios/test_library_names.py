"""The page that sets the Kotlin and the Swift library side by side, against both sources."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "app-libraries.md").read_text()
KOTLIN = ROOT / "android_demo" / "lolvit" / "src" / "main" / "kotlin" / "org" / "lolvit"
SWIFT = ROOT / "ios_demo" / "LOLViT" / "Sources" / "LOLViT"
CODES, TYPES = PAGE.split("## Codes of errors")[1], PAGE.split("## Types")[1]


def cells(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    rows = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def sources(folder: Path, suffix: str) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.rglob(f"*{suffix}")))


def test_codes_on_the_page_are_those_of_each_library() -> None:
    kotlin = (KOTLIN / "LolvitException.kt").read_text().split("enum class Code")[1]
    swift = (SWIFT / "LolvitError.swift").read_text()
    codes = {
        "kotlin": {name.lower() for name in re.findall(r"^        ([A-Z_]+),$", kotlin, re.M)},
        "swift": set(re.findall(r'case \w+ = "(\w+)"', swift)),
    }
    assert min(map(len, codes.values())) > 25
    for place, library in enumerate(codes, 1):
        named = [re.findall(r"`(\w+)`", row[0]) for row in cells(CODES) if row[place] == "yes"]
        assert sorted(code for row in named for code in row) == sorted(codes[library])


def test_types_on_the_page_are_public_in_each_library() -> None:
    declared = {
        0: re.findall(r"public (?:\w+ )*?(?:class|interface|object) (\w+)", sources(KOTLIN, ".kt")),
        1: re.findall(
            r"public (?:struct|enum|actor|protocol|typealias) (\w+)", sources(SWIFT, ".swift")
        ),
    }
    rows = cells(TYPES)
    assert len(rows) > 20
    for row in rows:
        for place, own in declared.items():
            text = row[0] if row[place] == "the same names" else row[place]
            # Before a colon, `Engines.choices` or `Score`, not `predict(…)`.
            named = set(re.findall(r"`([A-Z]\w+)", text.split("`:")[0]))
            assert named <= set(own), row[place]
