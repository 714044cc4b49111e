"""Result documents on disk: written whole or not at all, read with one line where that fails.

Run as a module it writes the published JSON Schema of results.
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from lolvit.documents import parse_json, validate
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit_benchmarks.results import schema_1
from lolvit_benchmarks.results.document import KIND, SCHEMA_VERSION, Document

LATEST_NAME = "result.json"
SCHEMA_PATH = Path(__file__).parent / "schema" / f"result-{SCHEMA_VERSION}.json"
_ROW_OF_NUMBERS = re.compile(r"\[\n\s+([-+.\deE,\s]+?)\n\s*\]")


def new_path(folder: Path) -> Path:
    """Return a path for one run's results that no other run uses, whenever it starts."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return folder / f"result-{stamp}-{secrets.token_hex(3)}.json"


def ensure_writable(folder: Path) -> None:
    """Make the folder, and find out before measuring whether results can be written there.

    Raises:
        UserError: they can't.
    """
    trial = folder / f".{secrets.token_hex(6)}"
    write_atomic(trial, b"")
    trial.unlink()


def save(document: Document, path: Path) -> None:
    """Write a document atomically.

    Raises:
        UserError: the folder is read-only or full.
    """
    write_atomic(path, as_text(document))


def save_latest(document: Document, path: Path) -> Path:
    """Write a document to `path` and, as a copy, to `result.json` beside it: of several runs into
    one folder that is the one that ended last, whole. Return the latter's path.

    Raises:
        UserError: the folder is read-only or full.
    """
    save(document, path)
    save(document, path.with_name(LATEST_NAME))
    return path.with_name(LATEST_NAME)


def as_text(document: Document) -> str:
    """Return a document as indented JSON, each row of numbers on one line."""
    text = json.dumps(document.model_dump(mode="json"), indent=1, allow_nan=False)
    return _ROW_OF_NUMBERS.sub(lambda row: f"[{' '.join(row[1].split())}]", text) + "\n"


def read_result(path: Path) -> Document:
    """Read and validate a result file of schema version 2, or of version 1 as one of version 2.

    Raises:
        UserError: it is missing, not JSON, of another kind or schema version, or a field is wrong.
    """
    content = _read_json(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UserError(
            "not a result of lolvit bench", where=str(path), remedy="give its result.json"
        )
    version = content.get("schema_version")
    if version == schema_1.VERSION:
        content = schema_1.upgrade(content)
    elif version != SCHEMA_VERSION:
        raise UserError(
            f"result of schema version {version!r:.20}, this lolvit reads {schema_1.VERSION} and "
            f"{SCHEMA_VERSION}",
            where=str(path),
            remedy="measure again, or use the lolvit that wrote it",
        )
    return validate(Document, content, str(path), "measure again")


def _read_json(path: Path) -> object:
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("no such file", where=str(path), remedy="run: lolvit bench") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"not a result file: {error}", where=str(path), remedy="measure again"
        ) from error


def schema_text() -> str:
    """Return the schema as indented JSON."""
    schema = Document.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    write_atomic(SCHEMA_PATH, schema_text())
