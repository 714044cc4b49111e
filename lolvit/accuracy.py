"""The document that `lolvit evaluate` gives, which reports read beside measured times."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lolvit.documents import read_document
from lolvit.manifest import Sha256

ACCURACY_SCHEMA: Final = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassScore(_Frozen):
    """One class: how many images it has, the share of them that was found (recall), and the share
    of what was taken for it that was right (precision; null where nothing was)."""

    name: str
    images: int
    recall: float | None
    precision: float | None


class Score(_Frozen):
    """What a model made of some images: shares of 1, and the mean cross-entropy in nats; top-5 is
    null for five classes or fewer."""

    images: int
    top1: float
    top5: float | None
    loss: float
    per_class: tuple[ClassScore, ...]


class EvaluationResult(_Frozen):
    """The score of one file in one runtime. Agreement is the share of images on which it answers
    as eager PyTorch does, and SNR compares all logits; null where there is no eager model."""

    model: str
    target: str
    sha256: Sha256
    runtime: str
    precision: str
    metrics: Score
    agreement: float | None = None
    snr_db: float | None = None


class EvaluationFailure(_Frozen):
    """An artifact that a runtime failed on."""

    target: str
    runtime: str
    error: str


class AccuracyDocument(_Frozen):
    """All scores of a checkpoint or of an export's artifacts on one split of a data set."""

    schema_version: Literal[1] = ACCURACY_SCHEMA
    data: str
    split: str
    classes: tuple[str, ...]
    trained: bool = Field(description="false: the accuracy is that of chance")
    results: tuple[EvaluationResult, ...]
    failures: tuple[EvaluationFailure, ...] = ()


def read_accuracy(path: Path) -> AccuracyDocument:
    """Read what `lolvit evaluate --json` printed.

    Raises:
        UserError: it is missing, or no such document.
    """
    return read_document(
        path,
        AccuracyDocument,
        kind="document of accuracies",
        remedy="give what lolvit evaluate --json printed",
    )
