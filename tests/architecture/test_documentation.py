"""What the pages say of names in the code stays true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lolvit.commands import COMMANDS
from lolvit_export.photos import CALIBRATION, VERIFICATION

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]


def rows(page: str) -> list[list[str]]:
    """Return the cells of a page's table rows."""
    lines = (ROOT / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_has_a_row_for_each_command(name: str) -> None:
    assert [row for row in rows("README.md") if row[0].startswith(f"`lolvit {name}")]


@pytest.mark.parametrize(
    ("photo", "use"),
    [(photo, "verification") for photo in VERIFICATION]
    + [(photo, "calibration") for photo in CALIBRATION],
)
def test_each_photo_has_its_use_and_terms(photo: str, use: str) -> None:
    (found,) = [row for row in rows("docs/photos.md") if re.split(r"[, ]", row[0])[0] == photo]
    assert found[1] == use
    assert found[4]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_that_pages_name_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", page.read_text()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
