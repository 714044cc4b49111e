"""The document that `lolvit evaluate` prints; reports combine it with benchmark results."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from lolvit.documents import Frozen, read_document
from lolvit.manifest import Sha256

ACCURACY_SCHEMA: Final = 1


class ClassScore(Frozen):
    """One class: its number of images, recall, and precision (null without predictions), 0 to 1."""

    name: str
    images: int
    recall: float | None
    precision: float | None


class Score(Frozen):
    """Metrics of a model on a set of images: accuracies 0 to 1, and the mean cross-entropy in nats.
    Top-5 is null for five classes or fewer."""

    images: int
    top1: float
    top5: float | None
    loss: float
    per_class: tuple[ClassScore, ...]


class EvaluationResult(Frozen):
    """The metrics of one file in one runtime. `agreement` is the top-1 agreement with eager PyTorch
    (0 to 1), `snr_db` that of all logits; null without an eager model."""

    model: str
    target: str
    sha256: Sha256
    runtime: str
    precision: str
    metrics: Score
    agreement: float | None = None
    snr_db: float | None = None


class EvaluationFailure(Frozen):
    """An artifact that a runtime failed on."""

    target: str
    runtime: str
    error: str


class AccuracyDocument(Frozen):
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
        UserError: it is missing or invalid.
    """
    return read_document(
        path,
        AccuracyDocument,
        kind="document of accuracies",
        remedy="give what lolvit evaluate --json printed",
    )
