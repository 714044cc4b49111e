"""JSON documents of this toolkit: their base class, and reading them with validation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lolvit.errors import UserError
from lolvit.version import __version__

Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    """An immutable part of a document; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


DEEPEST: Final = 100  # levels of nesting; a validator's own recursion is not much deeper
_INTEGERS = range(-(1 << 63), 1 << 63)  # what readers in other languages can hold


def parse_json(data: bytes) -> Any:
    """Parse a JSON document of an untrusted file, strictly: two readers never understand one
    document differently, and every value can be written again.

    Raises:
        ValueError: it is not JSON (which has no NaN), a key is repeated, a number is out of range,
            a text is not Unicode, or it is nested more than `DEEPEST` levels.
    """
    try:
        text = data.decode(json.detect_encoding(data))
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_without_repetition)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check_values(document)
    return document


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated!r:.100} is repeated")
    return found


def _check_values(value: Any, depth: int = 0) -> None:
    if isinstance(value, (list, dict)):
        if depth >= DEEPEST:
            raise ValueError("nested too deeply")
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_values(item, depth + 1)
    elif isinstance(value, str):
        value.encode()  # fails on half a surrogate pair, as an escape can name it
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number of JSON, or too large")
    elif isinstance(value, int) and value not in _INTEGERS:
        raise ValueError("an integer is too large")


def validate(model: type[Model], document: Any, where: str, remedy: str) -> Model:
    """Return the document as its type.

    Raises:
        UserError: a field is invalid, or unknown as in a document of a later version; the message
            names the first one.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UserError(
                f"this lolvit ({__version__}) does not know the key '{field}'", where=where,
                remedy=f"use the version of lolvit that wrote it, or {remedy}",
            ) from error  # fmt: skip
        raise UserError(f"field '{field}': {first['msg']}", where=where, remedy=remedy) from error


def read_document(path: Path, model: type[Model], *, kind: str, remedy: str) -> Model:
    """Read and validate a document; `kind` names it in messages.

    Raises:
        UserError: it is missing, not JSON, or a field is invalid; the message names the field.
    """
    return validate(model, load_json(path, kind=kind, remedy=remedy), str(path), remedy)


def load_json(path: Path, *, kind: str, remedy: str) -> Any:
    """Read a document without validating it; `kind` names it in messages.

    Raises:
        UserError: it is missing or not JSON.
    """
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"no {kind}: {error}", where=str(path), remedy=remedy) from error
