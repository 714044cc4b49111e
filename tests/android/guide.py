"""The blocks of code of a page, so that a test can do what a reader does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the heading that it stands under."""

    language: str
    text: str
    heading: str


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks in their order."""
    found, heading = [], ""
    for match in re.finditer(r"^#+ ([^\n]*)$|^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S):
        if match[1]:
            heading = match[1]
        else:
            found.append(Block(match[2], match[3], heading))
    return found
