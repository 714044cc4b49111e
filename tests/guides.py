"""The code blocks of a guide in docs/, for tests that follow it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
STEPS = "Into your own app, in five steps"


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


def steps(page: str, language: str) -> list[Block]:
    """Return the blocks of a language in a page's five steps."""
    blocks = blocks_of(DOCS / page)
    return [block for block in blocks if (block.heading, block.language) == (STEPS, language)]
