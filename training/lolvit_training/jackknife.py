"""The metrics of a detector's or segmentation model's run on a test set, and without each group of
its images: the file for comparisons with intervals over images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Protocol, Self

from pydantic import Field, model_validator

from lolvit.accuracy import METRICS, DenseMetric, DenseTask, Fraction
from lolvit.documents import Frozen, read_document
from lolvit.manifest import Sha256
from lolvit_data.annotations import GROUPS, AnnotatedDataset
from lolvit_data.collectors import DenseScore
from lolvit_training.correctness import EvaluatedImages

JACKKNIFE: Final = "jackknife.json"


class DenseMetrics(Protocol):
    """What is known of a model's predictions on a test set."""

    def compute(self) -> DenseScore:
        """Return the metrics of all images."""

    def without_groups(self) -> tuple[DenseScore, ...]:
        """Return the metrics of all images but those of each group."""

    def truth_sha256(self) -> str:
        """Return the digest of the images' annotations."""


class JackknifedMetric(Frozen):
    """A metric, 0 to 1, on all images and on all but those of each group."""

    whole: Fraction
    without: Annotated[tuple[Fraction, ...], Field(min_length=2, max_length=GROUPS)]


class Jackknife(Frozen):
    """The metrics that models are compared by; one of which the images have nothing is left out.
    Image number i of the test set is in group i modulo `GROUPS`."""

    schema_version: Literal[1] = 1
    data: str
    images: int = Field(ge=2)
    annotations_sha256: Sha256
    metrics: dict[DenseMetric, JackknifedMetric]

    @model_validator(mode="after")
    def _has_all_groups(self) -> Self:
        groups = min(GROUPS, self.images)
        for name, metric in self.metrics.items():
            if len(metric.without) != groups:
                raise ValueError(f"{name} is of {len(metric.without)} groups of {groups}")
        return self

    @classmethod
    def of(cls, dataset: AnnotatedDataset, whole: DenseScore, metrics: DenseMetrics) -> Self:
        """Return the document of a model's predictions on all images of a data set, of which
        `whole` is what `metrics.compute()` returns."""
        without = metrics.without_groups()
        task: DenseTask = "detection" if dataset.task == "detection" else "segmentation"
        return cls(
            data=dataset.name,
            images=whole.images,
            annotations_sha256=metrics.truth_sha256(),
            metrics={
                name: JackknifedMetric(
                    whole=getattr(whole, name),
                    without=tuple(getattr(score, name) for score in without),
                )
                for name in METRICS[task]
                if getattr(whole, name) is not None
            },
        )

    @property
    def evaluated_images(self) -> EvaluatedImages:
        """Return what the images are known by."""
        return EvaluatedImages(self.data, self.images, self.annotations_sha256)


def read_jackknife(folder: Path) -> Jackknife:
    """Read the file in a run's folder.

    Raises:
        UserError: it is missing or invalid.
    """
    return read_document(
        folder / JACKKNIFE,
        Jackknife,
        kind="file of a run's metrics without groups of test images",
        remedy="run the same command again: it evaluates the run",
    )
