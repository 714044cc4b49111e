"""The page's address, for people and for the cameras of their phones."""

from __future__ import annotations

import sys
from collections.abc import Callable

import segno

_BLOCKS = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}


def invite(url: str, say: Callable[[str], None], *, code: bool) -> None:
    """Say the address; with `code`, on a terminal, as a QR code too."""
    say(f"open this page (the address holds its key: share it with nobody): {url}")
    if code and sys.stderr.isatty():
        say(qr_code(url))


def qr_code(url: str) -> str:
    """Return a QR code as lines of half blocks, two rows of the code in each: light modules are
    drawn, so that it is as printed on a dark terminal."""
    rows = [list(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join(
        "".join(_BLOCKS[not upper, not lower] for upper, lower in zip(*pair, strict=True))
        for pair in pairs
    )
