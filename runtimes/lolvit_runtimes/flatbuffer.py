"""A flatbuffer reader that checks every offset, by a table of the schema.

Native readers follow offsets unchecked and crash, or read memory outside of the file. This reader
returns plain dictionaries, tuples and strings. Time and memory are bounded by the file's size: each
object is read once, and an error is raised if objects overlap.

Format: https://flatbuffers.dev/internals/. A field's code in a schema is
    a struct letter  a scalar                      *x       a vector of that scalar
    s                a string                      {Name    a table
    <NAME            a union, its type before it   [Name    a vector of tables
    -                not read
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

Table = dict[str, Any]
Fields = tuple[tuple[str, str], ...]  # name and code, in the order of the schema's field ids
Tables = dict[str, Fields]
Unions = dict[str, dict[int, str]]  # of each union, which table a type's number stands for

_OFFSET = 4  # bytes of an offset, of a length, and of a table's own vtable offset
_VTABLE_HEADER = 4


class FlatbufferError(ValueError):
    """The bytes are not a flatbuffer of the schema."""


@dataclass(frozen=True)
class Span:
    """The position of a vector of bytes in the file: weights are not copied."""

    start: int
    length: int


class Reader:
    """One file, read by the tables and unions of one schema."""

    def __init__(self, data: bytes, tables: Tables, unions: Unions) -> None:
        self._data, self._tables, self._unions = data, tables, unions
        self._seen: dict[tuple[int, str], Any] = {}
        self._left = len(data)

    def root(self, name: str) -> Table:
        """Return the root table with all nested tables.

        Raises:
            FlatbufferError: an offset, a length or a vtable points outside of the file.
        """
        return self._table(self._follow(0), name)

    def _scalar(self, position: int, letter: str) -> Any:
        """Return the scalar at `position`, which must be inside the file and aligned."""
        width = struct.calcsize("<" + letter)
        self._need(position, width)
        if position % width:
            raise FlatbufferError(f"misaligned value at byte {position}")
        return struct.unpack_from("<" + letter, self._data, position)[0]

    def _need(self, position: int, length: int) -> None:
        if position < 0 or position + length > len(self._data):
            raise FlatbufferError(f"an offset leads out of the file, to byte {position + length}")

    def _follow(self, position: int) -> int:
        """Return what the offset at `position` points at; offsets only lead forward."""
        offset = self._scalar(position, "I")
        if offset < _OFFSET:
            raise FlatbufferError(f"an offset at byte {position} points into itself")
        return position + int(offset)

    def _once(self, position: int, code: str, length: int) -> None:
        """Account for an object that takes `length` bytes."""
        self._need(position, length)
        self._left -= length
        if self._left < 0:
            raise FlatbufferError(f"objects overlap at byte {position} ({code})")

    def _table(self, position: int, name: str) -> Table:
        key = (position, name)
        if key not in self._seen:
            self._seen[key] = self._read_table(position, name)
        table: Table = self._seen[key]
        return table

    def _read_table(self, position: int, name: str) -> Table:
        vtable = position - self._scalar(position, "i")
        entries, size = self._scalar(vtable, "H"), self._scalar(vtable + 2, "H")
        self._need(vtable, entries)
        if entries < _VTABLE_HEADER or size < _OFFSET:
            raise FlatbufferError(f"a vtable of impossible size at byte {vtable}")
        self._once(position, name, size)
        table: Table = {}
        for slot, (field, code) in enumerate(self._tables[name]):
            entry = _VTABLE_HEADER + 2 * slot
            if entry + 2 > entries or code == "-":
                continue
            if offset := self._scalar(vtable + entry, "H"):
                self._inside(offset, code, size, position)
                table[field] = self._field(position + offset, code, table)
        return table

    def _inside(self, offset: int, code: str, size: int, position: int) -> None:
        width = struct.calcsize("<" + code) if _is_scalar(code) else _OFFSET
        if offset < _OFFSET or offset + width > size:
            raise FlatbufferError(f"a field leaves its table at byte {position}")

    def _field(self, position: int, code: str, table: Table) -> Any:
        if _is_scalar(code):
            return self._scalar(position, code)
        if code[0] == "<":
            # The union's type is the field before it; a type that the schema lacks is not followed.
            name = self._unions[code[1:]].get(table.get(code[1:], 0))
            return self._table(self._follow(position), name) if name else None
        target = self._follow(position)
        if code[0] == "{":
            return self._table(target, code[1:])
        key = (target, code)
        if key not in self._seen:
            self._seen[key] = self._read_many(target, code)
        return self._seen[key]

    def _read_many(self, position: int, code: str) -> Any:
        count = self._scalar(position, "I")
        if code == "s":
            return self._string(position, count)
        letter = "I" if code[0] == "[" else code[1:]
        width = struct.calcsize("<" + letter)
        start = position + _OFFSET
        self._once(position, code, _OFFSET + count * width)
        if start % width and count:
            raise FlatbufferError(f"misaligned vector at byte {start}")
        if code[0] == "[":
            offsets = range(start, start + count * width, width)
            return tuple(self._table(self._follow(offset), code[1:]) for offset in offsets)
        if letter == "B":
            return Span(start, count)
        return struct.unpack_from(f"<{count}{letter}", self._data, start)

    def _string(self, position: int, count: int) -> str:
        start, end = position + _OFFSET, position + _OFFSET + count
        self._once(position, "string", _OFFSET + count + 1)
        if self._data[end]:
            raise FlatbufferError(f"a string does not end at byte {end}")
        try:
            return self._data[start:end].decode()
        except UnicodeDecodeError as error:  # runtimes give names to Python, which fails on them
            raise FlatbufferError(f"a string is not UTF-8 at byte {start}") from error


def _is_scalar(code: str) -> bool:
    return code in "?bBhHiIqQfd"
