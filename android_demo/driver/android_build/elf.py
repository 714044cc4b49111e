"""The page sizes that a native library supports: the alignment of its segments in the ELF file."""

from __future__ import annotations

import struct

from lolvit.errors import UserError

PAGE_16K = 16 * 1024
_IDENT = struct.Struct("<4sBB")  # magic, class (1: 32-bit, 2: 64-bit), byte order (1: little)
_LOAD = 1  # p_type of a mapped segment
# By class: of the header (e_phoff, e_phentsize, e_phnum) and of a program header (p_type, p_align).
_HEADER = {1: struct.Struct("<28xI10xHH"), 2: struct.Struct("<32xQ14xHH")}
_SEGMENT = {1: struct.Struct("<I24xI"), 2: struct.Struct("<I44xQ")}


def page_alignment(data: bytes, where: str) -> int:
    """Return the smallest alignment of a library's segments, in bytes. A device
    with larger pages rejects the library. `where` names it in messages.

    Raises:
        UserError: it is no little-endian ELF file, or cut short.
    """
    try:
        alignments = _alignments(data)
    except (struct.error, KeyError) as error:
        raise UserError("not a whole ELF file", where=where) from error
    if not alignments:
        raise UserError("no segment of it is loaded", where=where)
    return min(alignments)


def _alignments(data: bytes) -> list[int]:
    magic, bits, order = _IDENT.unpack_from(data)
    if magic != b"\x7fELF" or order != 1:
        raise KeyError("magic")
    start, size, count = _HEADER[bits].unpack_from(data)
    segments = (_SEGMENT[bits].unpack_from(data, start + size * i) for i in range(count))
    return [align for kind, align in segments if kind == _LOAD]
