"""docs/lint.md names every rule of every target, with its severity, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lolvit_export.lint import ACCELERATORS

PAGE = (Path(__file__).parents[2] / "docs" / "lint.md").read_text()


def documented(target: str) -> dict[str, str]:
    """Return each rule's severity by its id, from the target's table."""
    section = PAGE.split(f"### `{target}`")[1].split("\n#")[0]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|.*\| (finding|advice)", section, re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("target", ACCELERATORS)
def test_the_page_has_a_row_for_each_rule(target: str) -> None:
    rules = ACCELERATORS[target].rules
    assert documented(target) == {rule.id: rule.severity for rule in rules}
    assert len({rule.id for rule in rules}) == len(rules)


@pytest.mark.parametrize("target", ACCELERATORS)
def test_every_rule_has_a_remedy_and_a_source(target: str) -> None:
    for rule in ACCELERATORS[target].rules:
        assert rule.remedy, rule.id
        assert len(rule.source) > 20 or "/" in rule.source, rule.id
        assert not rule.source.endswith("."), rule.id
