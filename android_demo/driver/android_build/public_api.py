"""Android's public API of a level, from an Animal Sniffer signature file.

Such a file is a gzipped stream of serialized Java objects of the class
`org.codehaus.mojo.animal_sniffer.Clazz`: name, set of members, superclass, interfaces. Read here is
as much of Java's serialization as that needs.
Format: https://docs.oracle.com/en/java/javase/17/docs/specs/serialization/protocol.html
"""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.errors import UserError

_MAGIC = b"\xac\xed\x00\x05"
_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING = 0x70, 0x71, 0x72, 0x73, 0x74
_ARRAY, _BLOCK, _END = 0x75, 0x77, 0x78
_FIRST_HANDLE = 0x7E0000
_OWN_WRITE = 1  # a class writes data of its own behind its fields
_CLAZZ = "org.codehaus.mojo.animal_sniffer.Clazz"


@dataclass(frozen=True)
class ApiClass:
    """A class of the API: its public and protected members, as `name(parameters)result` or
    `name#type`, and what it extends and implements."""

    members: frozenset[str]
    parents: tuple[str, ...]


class PublicApi(dict[str, ApiClass]):
    """The classes of one API level, by their internal names."""

    def has(self, owner: str, member: str) -> bool:
        """Return whether a class has a member, inherited ones included."""
        found = self.get(owner)
        if found is None:
            return False
        name = member.replace(":", "#") if "(" not in member else member
        return name in found.members or any(self.has(parent, member) for parent in found.parents)


def read_api(path: Path) -> PublicApi:
    """Read a signature file.

    Raises:
        UserError: it is no such file, or cut short.
    """
    try:
        return PublicApi(_Stream(gzip.decompress(path.read_bytes())).classes())
    except (OSError, EOFError, struct.error, IndexError, KeyError, ValueError) as error:
        raise UserError("not a whole signature file", where=str(path)) from error


@dataclass
class _Description:
    """A class as the stream describes it: its fields, and the class that it extends."""

    name: str
    flags: int = 0
    fields: tuple[str, ...] = ()
    parent: _Description | None = None


class _Stream:
    def __init__(self, data: bytes) -> None:
        if data[:4] != _MAGIC:
            raise ValueError("magic")
        self._data, self._position = data, 4
        self._handles: list[Any] = []

    def classes(self) -> dict[str, ApiClass]:
        found = {}
        while (entry := self._value()) is not None:
            parents = [entry["superClass"], *(entry["superInterfaces"] or ())]
            members = frozenset(entry["signatures"])
            found[entry["name"]] = ApiClass(members, tuple(p for p in parents if p is not None))
        return found

    def _take(self, layout: str) -> Any:
        value = struct.unpack_from(layout, self._data, self._position)
        self._position += struct.calcsize(layout)
        return value[0]

    def _text(self) -> str:
        length = self._take(">H")
        start, self._position = self._position, self._position + length
        return self._data[start : self._position].decode("utf-8", "surrogatepass")

    def _value(self) -> Any:
        kind = self._take("B")
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            return self._handles[self._take(">I") - _FIRST_HANDLE]
        if kind == _STRING:
            return self._keep(self._text())
        if kind == _ARRAY:
            return self._array()
        if kind == _OBJECT:
            return self._object()
        raise ValueError(f"unknown type {kind:#x}")

    def _keep(self, value: Any) -> Any:
        self._handles.append(value)
        return value

    def _array(self) -> list[Any]:
        self._description()
        values: list[Any] = self._keep([])
        values.extend(self._value() for _ in range(self._take(">I")))
        return values

    def _object(self) -> Any:
        description = self._description()
        if description is None:
            raise ValueError("an object without a class")
        if description.name == _CLAZZ:
            fields: dict[str, Any] = self._keep({})
            fields.update((name, self._value()) for name in description.fields)
            return fields
        return self._set(description)

    def _set(self, description: _Description) -> set[str]:
        """Read a HashSet or what extends it: it writes its capacity, then its elements."""
        values: set[str] = self._keep(set())
        above = description
        while above.parent is not None:
            above = above.parent
        if above.name != "java.util.HashSet" or not above.flags & _OWN_WRITE:
            raise ValueError(f"unknown class {description.name}")
        if self._take("B") != _BLOCK:
            raise ValueError("a set without its size")
        block = self._take("B")
        self._position += block - 4
        values.update(self._value() for _ in range(self._take(">I")))
        if self._take("B") != _END:
            raise ValueError("a set without an end")
        return values

    def _description(self) -> _Description | None:
        kind = self._take("B")
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            known: _Description = self._handles[self._take(">I") - _FIRST_HANDLE]
            return known
        if kind != _CLASS:
            raise ValueError(f"no class description but {kind:#x}")
        found = _Description(self._text())
        self._keep(found)
        self._position += 8  # its version
        found.flags = self._take("B")
        found.fields = tuple(self._field() for _ in range(self._take(">H")))
        if self._take("B") != _END:
            raise ValueError("annotations of a class")
        found.parent = self._description()
        return found

    def _field(self) -> str:
        kind = chr(self._take("B"))
        name = self._text()
        if kind not in "L[":
            raise ValueError(f"a field of type {kind}")
        self._value()  # its type
        return name
