"""Mutations of JSON documents that keep their structure, so that most reach validation."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from tests.runtimes.mutations import damaged

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 255, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63, 2**64,
    10**25, 10**400, -(10**400), 0.5, -0.0, 1e-320, 5e-324, 1e308, -1e308, float("nan"),
    float("inf"), float("-inf"), "", "\0", "\ud800", "é", "\u2028", "a\nb", "../x", "/etc/passwd",
    "..\\x", "a/../../b", "a" * 5000, "%s%n{0}", [], {}, [[]], [None], {"": None}, [0] * 100,
    [10**9, 10**9], [-1, -1], [0, 0], "1", "NaN", "true", "0" * 64,
)  # fmt: skip
_DEEP = 100_000


def mutate_json(data: bytes, random: Random) -> bytes:
    """Return a document with one to four changes; bytes that are no JSON are damaged as such."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return damaged(data, random)
    try:
        for _ in range(random.choice((1, 1, 2, 4))):
            document = _changed(document, random)
        text = json.dumps(document)
    except RecursionError:
        return damaged(data, random)
    match random.randrange(40):
        case 0:
            return damaged(text.encode(), random)
        case 1:
            return _nested(text, random).encode()
        case 2 | 3:
            return _duplicated(text, random).encode()
        case 4:
            return text.encode(random.choice(("utf-16", "utf-8-sig", "utf-32", "utf-8")))
    return text.encode()


def _changed(document: Any, random: Random) -> Any:
    places = list(_places(document))
    if not places:
        return _odd(random)
    holder, key = random.choice(places)
    match random.randrange(10):
        case 0:
            del holder[key]
        case 1:  # a value from elsewhere
            other, name = random.choice(places)
            holder[key] = json.loads(json.dumps(other[name])) if key in _keys(holder) else None
        case 2:
            holder[key] = [holder[key]] * random.choice((1, 2, 3))
        case 3 if isinstance(holder, dict):
            holder[random.choice(("", "x", "\ud800", "__class__", "a" * 3000))] = holder.pop(key)
        case 4 if isinstance(holder, list):
            holder.insert(key, _odd(random))
        case 5 if isinstance(holder[key], float) or type(holder[key]) is int:
            holder[key] = holder[key] * random.choice((-1, 0, 2, 1 << 20))
        case 6 if isinstance(holder[key], str):
            holder[key] = holder[key] + random.choice(("/", "\0", "..", "\n", "é", "\udfff"))
        case _:
            holder[key] = _odd(random)
    return document


def _odd(random: Random) -> Any:
    return copy.deepcopy(random.choice(ODD_VALUES))


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(document: Any) -> Any:
    """Yield holder and key of each value in a document."""
    if isinstance(document, (dict, list)):
        for key in list(_keys(document)):
            yield document, key
            yield from _places(document[key])


def _nested(text: str, random: Random) -> str:
    """Return the text with one value replaced by very deep nesting."""
    colons = [place for place, letter in enumerate(text) if letter in ":[,"]
    if not colons:
        return "[" * _DEEP
    place = random.choice(colons) + 1
    opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
    depth = random.choice((150, 900, _DEEP))
    return f"{text[:place]}{opening * depth}1{closing * depth},{text[place:]}"


def _duplicated(text: str, random: Random) -> str:
    """Return an object's text with one of its keys twice."""
    names = [name for name in ("sha256", "path", "schema_version", "size", "kind") if
             f'"{name}":' in text]  # fmt: skip
    name = random.choice(names or ["x"])
    value = json.dumps(random.choice(ODD_VALUES))
    return text.replace("{", f'{{"{name}": {value}, ', 1)
