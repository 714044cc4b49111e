"""JSON documents of this toolkit: their base class, and reading them with validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lolvit.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    """An immutable part of a document; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def validate(model: type[Model], document: Any, where: str, remedy: str) -> Model:
    """Return the document as its type.

    Raises:
        UserError: a field is invalid; the message names the first one.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"field '{field}': {first['msg']}", where=where, remedy=remedy) from error


def read_document(path: Path, model: type[Model], *, kind: str, remedy: str) -> Model:
    """Read and validate a document; `kind` names it in messages.

    Raises:
        UserError: it is missing, not JSON, or a field is invalid; the message names the field.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"no {kind}: {error}", where=str(path), remedy=remedy) from error
    return validate(model, document, str(path), remedy)
