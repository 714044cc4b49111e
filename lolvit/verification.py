"""The document that `lolvit verify` prints, which reports read beside measured times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from lolvit.documents import read_document
from lolvit.manifest import Artifact, RewriteRecord
from lolvit.schema_1 import upgrade_artifacts_and_rewrites

VERIFICATION_SCHEMA: Final = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RuntimeFailure(_Frozen):
    """An artifact that the device's runtime failed on."""

    artifact: str
    error: str


class VerificationDocument(_Frozen):
    """What artifacts of one export gave on a device, against eager PyTorch: their gates are those
    of this device. Schema version 1 is read too."""

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
    recommended: dict[str, str] = {}
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
        UserError: it is missing, or no such document.
    """
    return read_document(
        path,
        VerificationDocument,
        kind="document of a verification",
        remedy="give what lolvit verify --json printed",
    )
