"""Writes signature files as Animal Sniffer does, of a few classes: gzipped Java serialization."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

_FIRST_HANDLE = 0x7E0000


class _Writer:
    """As much of Java's ObjectOutputStream as those files use, references to what was written
    before included."""

    def __init__(self) -> None:
        self.data = bytearray(b"\xac\xed\x00\x05")
        self._known: dict[Any, int] = {}

    def _once(self, key: Any) -> bool:
        """Write a reference to what is known; else give it the next handle and return True."""
        if key in self._known:
            self.data += struct.pack(">BI", 0x71, _FIRST_HANDLE + self._known[key])
            return False
        self._known[key] = len(self._known)
        return True

    def _utf(self, text: str) -> None:
        encoded = text.encode()
        self.data += struct.pack(">H", len(encoded)) + encoded

    def text(self, text: str | None) -> None:
        if text is None:
            self.data.append(0x70)
        elif self._once(text):
            self.data.append(0x74)
            self._utf(text)

    def description(
        self, name: str, flags: int, fields: tuple[tuple[str, str], ...], parent: str | None
    ) -> None:
        if not self._once(("class", name)):
            return
        # `_once` is written first, as Java does: a class has its handle before its fields' types.
        self.data.append(0x72)
        self._utf(name)
        self.data += struct.pack(">QBH", 1, flags, len(fields))
        for field, kind in fields:
            self.data += kind[0].encode()
            self._utf(field)
            self.text(kind)
        self.data.append(0x78)
        if parent is None:
            self.data.append(0x70)
        else:
            self.description(parent, 3, (), None)

    def _handle(self) -> None:
        self._known[object()] = len(self._known)

    def clazz(
        self, name: str, members: list[str], parent: str | None, interfaces: list[str]
    ) -> None:
        fields = (
            ("name", "Ljava/lang/String;"),
            ("signatures", "Ljava/util/Set;"),
            ("superClass", "Ljava/lang/String;"),
            ("superInterfaces", "[Ljava/lang/String;"),
        )
        self.data.append(0x73)
        self.description("org.codehaus.mojo.animal_sniffer.Clazz", 2, fields, None)
        self._handle()
        self.text(name)
        self._members(members)
        self.text(parent)
        self.data.append(0x75)
        self.description("[Ljava.lang.String;", 2, (), None)
        self._handle()
        self.data += struct.pack(">I", len(interfaces))
        for interface in interfaces:
            self.text(interface)

    def _members(self, members: list[str]) -> None:
        self.data.append(0x73)
        self.description("java.util.LinkedHashSet", 2, (), "java.util.HashSet")
        self._handle()
        self.data += struct.pack(">BBIfI", 0x77, 12, 16, 0.75, len(members))
        for member in members:
            self.text(member)
        self.data.append(0x78)


def write_signatures(
    path: Path, classes: dict[str, tuple[list[str], str | None, list[str]]]
) -> None:
    """Write classes: by name their members, superclass and interfaces."""
    writer = _Writer()
    for name, (members, parent, interfaces) in classes.items():
        writer.clazz(name, members, parent, interfaces)
    writer.data.append(0x70)
    path.write_bytes(gzip.compress(bytes(writer.data)))
