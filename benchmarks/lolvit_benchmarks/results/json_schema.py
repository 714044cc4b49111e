"""The published JSON Schema of results, written by
`python -m lolvit_benchmarks.results.json_schema`."""

from __future__ import annotations

import json
from pathlib import Path

from lolvit.files import write_atomic
from lolvit_benchmarks.results.document import SCHEMA_VERSION, Document

PATH = Path(__file__).parent / "schema" / f"result-{SCHEMA_VERSION}.json"


def schema_text() -> str:
    """Return the schema as indented JSON."""
    schema = Document.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    write_atomic(PATH, schema_text())
