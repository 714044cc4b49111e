"""Damage done to a file, as hypothesis strategies."""

from __future__ import annotations

import random

from hypothesis import strategies as st

# Numbers that lengths, offsets and indices are often wrong by.
ODD_NUMBERS = (0, 1, 2, 3, 4, 127, 128, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy of truncations and of up to eight overwritten bytes or 32-bit words."""
    position = st.integers(0, len(content) - 1)
    byte = st.tuples(position, st.integers(0, 255).map(lambda value: bytes([value])))
    number = st.sampled_from(ODD_NUMBERS) | st.integers(0, len(content))
    word = st.tuples(position, number.map(lambda value: value.to_bytes(4, "little")))
    overwritten = st.lists(byte | word, min_size=1, max_size=8)
    return position.map(lambda length: content[:length]) | overwritten.map(
        lambda edits: _overwrite(content, edits)
    )


def overwritten(content: bytes, generator: random.Random) -> bytes:
    """Return the content with one to four words overwritten: as `mutated`, without hypothesis."""
    edits = [
        (
            generator.randrange(len(content)),
            generator.choice(
                (*ODD_NUMBERS, generator.randrange(len(content)), generator.getrandbits(32))
            ).to_bytes(4, "little")[: generator.choice((1, 2, 4))],
        )
        for _ in range(generator.choice((1, 2, 4)))
    ]
    return _overwrite(content, edits)


def damaged(content: bytes, generator: random.Random) -> bytes:
    """Return the content truncated, with words overwritten, or with a part removed, doubled or
    inserted."""
    if not content:
        return generator.randbytes(generator.randrange(16))
    start, length = generator.randrange(len(content)), generator.choice((1, 2, 4, 16, 100))
    match generator.randrange(8):
        case 0:
            return content[:start]
        case 1:
            return content[:start] + content[start + length :]
        case 2:
            return content[:start] + content[start : start + length] + content[start:]
        case 3:
            return content[:start] + generator.randbytes(length) + content[start:]
    return overwritten(content, generator)


def _overwrite(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    damaged = bytearray(content)
    for position, replacement in edits:
        damaged[position : position + len(replacement)] = replacement
    return bytes(damaged[: len(content)])
