"""The document that `lolvit verify` prints; reports combine it with benchmark results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from lolvit.documents import Frozen, read_document
from lolvit.manifest import Artifact, RewriteRecord
from lolvit.schema_1 import upgrade_artifacts_and_rewrites

VERIFICATION_SCHEMA: Final = 2


class RuntimeFailure(Frozen):
    """An artifact that the device's runtime failed on."""

    artifact: str
    error: str


class VerificationDocument(Frozen):
    """The artifacts of one export with their gates on a device. Schema version 1 is read too."""

    schema_version: Literal[2] = VERIFICATION_SCHEMA
    device: str
    folder: str
    model: str
    task: str
    size: tuple[int, int]
    params: int
    macs: int
    trained: bool
    artifacts: tuple[Artifact, ...]
    rewrites: tuple[RewriteRecord, ...] = ()
    recommended: dict[str, str] = Field(default={})
    failures: tuple[RuntimeFailure, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, document: Any) -> Any:
        if isinstance(document, Mapping) and document.get("schema_version") == 1:
            return upgrade_artifacts_and_rewrites(document)
        return document


def read_verification(path: Path) -> VerificationDocument:
    """Read what `lolvit verify --json` printed.

    Raises:
        UserError: it is missing or invalid.
    """
    return read_document(
        path,
        VerificationDocument,
        kind="document of a verification",
        remedy="give what lolvit verify --json printed",
    )
