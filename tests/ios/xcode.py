"""Reads the property lists of Xcode's projects, in NeXTSTEP's text format."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"\s+|/\*.*?\*/|//[^\n]*|(?P<string>\"(?:\\.|[^\"\\])*\")|(?P<word>[\w./$]+)|(?P<mark>.)",
    re.DOTALL,
)


def parse(text: str) -> dict[str, Any]:
    """Return a property list as dicts, lists and strings.

    Raises:
        ValueError: it is malformed, or a key is there twice.
    """
    tokens = [found for found in _TOKEN.finditer(text) if found.lastgroup]
    value, position = _value(tokens, 0)
    if position != len(tokens) or not isinstance(value, dict):
        raise ValueError("not one dictionary")
    return value


def _value(tokens: list[re.Match[str]], position: int) -> tuple[Any, int]:
    _mark(tokens, position)
    token = tokens[position]
    if token["string"] is not None:
        return re.sub(r"\\(.)", r"\1", token["string"][1:-1]), position + 1
    if token["word"] is not None:
        return token["word"], position + 1
    if token["mark"] == "{":
        return _dictionary(tokens, position + 1)
    if token["mark"] == "(":
        return _list(tokens, position + 1)
    raise ValueError(f"unexpected {token[0]!r} at {token.start()}")


def _dictionary(tokens: list[re.Match[str]], position: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while _mark(tokens, position) != "}":
        key, position = _value(tokens, position)
        position = _expect(tokens, position, "=")
        value, position = _value(tokens, position)
        position = _expect(tokens, position, ";")
        if key in found:
            raise ValueError(f"{key} is there twice")
        found[key] = value
    return found, position + 1


def _list(tokens: list[re.Match[str]], position: int) -> tuple[list[Any], int]:
    found = []
    while _mark(tokens, position) != ")":
        value, position = _value(tokens, position)
        found.append(value)
        if _mark(tokens, position) != ")":
            position = _expect(tokens, position, ",")
    return found, position + 1


def _mark(tokens: list[re.Match[str]], position: int) -> str:
    if position >= len(tokens):
        raise ValueError("ends too early")
    return tokens[position][0]


def _expect(tokens: list[re.Match[str]], position: int, mark: str) -> int:
    if _mark(tokens, position) != mark:
        raise ValueError(f"{mark!r} is missing before {_mark(tokens, position)!r}")
    return position + 1
