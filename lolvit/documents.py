"""JSON documents of this toolkit, read back as the types that they were written from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lolvit.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


def read_document(path: Path, model: type[Model], *, kind: str, remedy: str) -> Model:
    """Read and validate a document; `kind` is what to call it where it is none.

    Raises:
        UserError: it is missing, not JSON, or a field is wrong; the message names the field.
    """
    try:
        return model.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"field '{field}': {first['msg']}", where=str(path), remedy=remedy
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"no {kind}: {error}", where=str(path), remedy=remedy) from error
