"""The document that `lolvit verify` gives, which reports read beside measured times."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from lolvit.documents import read_document
from lolvit.manifest import Artifact, PassRecord

VERIFICATION_SCHEMA: Final = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Refused(_Frozen):
    """An artifact that the device's runtime failed on."""

    artifact: str
    error: str


class VerificationDocument(_Frozen):
    """What artifacts of one export gave on a device, against eager PyTorch: their gates are those
    of this device."""

    schema_version: Literal[1] = VERIFICATION_SCHEMA
    device: str
    folder: str
    model: str
    size: tuple[int, int]
    params: int
    macs: int
    trained: bool
    artifacts: tuple[Artifact, ...]
    passes: tuple[PassRecord, ...] = ()
    recommended: dict[str, str] = {}
    failures: tuple[Refused, ...] = ()


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
