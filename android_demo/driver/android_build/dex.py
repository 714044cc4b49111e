"""Reads a dex file back: the classes that it defines, and every member that its code refers to.

Format: https://source.android.com/docs/core/runtime/dex-format
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lolvit.errors import UserError

_NO_INDEX = 0xFFFFFFFF
_CALL_SITES = 0x0007  # type of the map entry of call sites (invoke-custom)
_SECTIONS = struct.Struct("<56xIIIIIIIIIIII")  # sizes and offsets, behind magic and checksums
_MAP_OFFSET = 52


@dataclass(frozen=True)
class Reference:
    """A method or field that code names: `name(parameters)result`, or `name:type`."""

    owner: str  # a class's internal name, such as android/app/Activity; or an array's, [I
    member: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.member}"


@dataclass(frozen=True)
class DexClass:
    """A class in the file: its ancestors, and the members that it defines itself."""

    name: str
    parents: tuple[str, ...]
    members: frozenset[str]


@dataclass(frozen=True)
class Dex:
    """The contents of one dex file, or of several together."""

    classes: dict[str, DexClass]
    references: tuple[Reference, ...]  # its own members among them
    types: tuple[str, ...]
    call_sites: int


def read_dex(data: bytes, where: str) -> Dex:
    """Parse a dex file: its definitions and references; `where` names it in messages.

    Raises:
        UserError: it is no dex file, or cut short.
    """
    if data[:4] != b"dex\n":
        raise UserError("not a dex file", where=where)
    try:
        return _Reader(data).dex()
    except (struct.error, IndexError, ValueError) as error:
        raise UserError("not a whole dex file", where=where) from error


def dex_of_apk(apk: Path) -> Dex:
    """Parse all dex files of an APK together.

    Raises:
        UserError: one of them is damaged, or there is none.
    """
    with zipfile.ZipFile(apk) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"classes\d*\.dex", name)]
        found = [read_dex(archive.read(name), f"{apk}/{name}") for name in names]
    if not found:
        raise UserError("holds no code", where=str(apk))
    return Dex(
        classes={name: entry for dex in found for name, entry in dex.classes.items()},
        references=tuple(reference for dex in found for reference in dex.references),
        types=tuple(name for dex in found for name in dex.types),
        call_sites=sum(dex.call_sites for dex in found),
    )


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        header = _SECTIONS.unpack_from(data)
        sections = [(header[i + 1], header[i]) for i in range(0, len(header), 2)]
        strings, types, protos, fields, methods, self._classes = sections
        self._strings = [self._string(offset) for (offset,) in self._rows(strings, "<I")]
        self._types = [_internal(self._strings[index]) for (index,) in self._rows(types, "<I")]
        self._protos = [self._proto(*row) for row in self._rows(protos, "<III")]
        self._fields = [
            Reference(self._types[owner], f"{self._strings[name]}:{self._descriptor(kind)}")
            for owner, kind, name in self._rows(fields, "<HHI")
        ]
        self._methods = [
            Reference(self._types[owner], f"{self._strings[name]}{self._protos[proto]}")
            for owner, proto, name in self._rows(methods, "<HHI")
        ]

    def dex(self) -> Dex:
        classes = [self._class(row) for row in self._rows(self._classes, "<IIIIIIII")]
        return Dex(
            classes={entry.name: entry for entry in classes},
            references=(*self._fields, *self._methods),
            types=tuple(self._types),
            call_sites=self._call_sites(),
        )

    def _rows(self, section: tuple[int, int], row: str) -> Iterator[tuple[int, ...]]:
        offset, count = section
        reader = struct.Struct(row)
        return (reader.unpack_from(self._data, offset + reader.size * i) for i in range(count))

    def _string(self, offset: int) -> str:
        _, start = self._number(offset)  # its length in UTF-16 units
        end = self._data.index(b"\0", start)
        return self._data[start:end].decode("utf-8", "surrogatepass")

    def _descriptor(self, index: int) -> str:
        name = self._types[index]
        return name if name[0] == "[" or len(name) == 1 else f"L{name};"

    def _proto(self, _short: int, result: int, parameters: int) -> str:
        types = self._list(parameters)
        return f"({''.join(map(self._descriptor, types))}){self._descriptor(result)}"

    def _list(self, offset: int) -> tuple[int, ...]:
        """Return a list of type indices; there is none at offset 0."""
        if offset == 0:
            return ()
        (count,) = struct.unpack_from("<I", self._data, offset)
        return struct.unpack_from(f"<{count}H", self._data, offset + 4)

    def _class(self, row: tuple[int, ...]) -> DexClass:
        name, _, parent, interfaces, _, _, body, _ = row
        above = [*([parent] if parent != _NO_INDEX else []), *self._list(interfaces)]
        parents = tuple(self._types[index] for index in above)
        return DexClass(self._types[name], parents, frozenset(self._members(body)))

    def _members(self, position: int) -> Iterator[str]:
        """Yield the members that a class's data defines; an interface of nothing has no data."""
        if position == 0:
            return
        counts = []
        for _ in range(4):  # static fields, instance fields, direct methods, virtual methods
            count, position = self._number(position)
            counts.append(count)
        kinds = ((self._fields, 2), (self._fields, 2), (self._methods, 3), (self._methods, 3))
        for count, (table, numbers) in zip(counts, kinds, strict=True):
            index = 0
            for _ in range(count):
                step, position = self._number(position)
                index += step
                for _ in range(numbers - 1):
                    _, position = self._number(position)
                yield table[index].member

    def _number(self, position: int) -> tuple[int, int]:
        """Return the ULEB128 number at a position, and where it ends."""
        value = shift = 0
        while True:
            byte = self._data[position]
            position, value, shift = position + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value, position

    def _call_sites(self) -> int:
        (offset,) = struct.unpack_from("<I", self._data, _MAP_OFFSET)
        (count,) = struct.unpack_from("<I", self._data, offset)
        entries = self._rows((offset + 4, count), "<HHII")
        return sum(size for kind, _, size, _ in entries if kind == _CALL_SITES)


def _internal(descriptor: str) -> str:
    """Return `android/app/Activity` for `Landroid/app/Activity;`; arrays and primitives as is."""
    return descriptor[1:-1] if descriptor[0] == "L" else descriptor
