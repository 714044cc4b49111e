"""The documents that `lolvit evaluate` and `lolvit accuracy` print; reports combine them with
benchmark results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from lolvit.documents import Frozen, load_json, validate
from lolvit.errors import UserError
from lolvit.manifest import Sha256

ACCURACY_SCHEMA: Final = 1
DENSE_ACCURACY_SCHEMA: Final = 2  # of detection and segmentation
DenseTask = Literal["detection", "segmentation"]
DenseMetric = Literal["ap50", "ap", "miou", "miou_foreground"]
METRICS: Final[dict[DenseTask, tuple[DenseMetric, ...]]] = {  # that models are compared by
    "detection": ("ap50", "ap"),
    "segmentation": ("miou", "miou_foreground"),
}
METRIC_LABELS: Final[dict[DenseMetric, str]] = {
    "ap50": "AP50",
    "ap": "AP",
    "miou": "mIoU",
    "miou_foreground": "mIoU without the background",
}
Fraction = Annotated[float, Field(ge=0, le=1)]


class ClassScore(Frozen):
    """One class: its number of images, recall, and precision (null without predictions), 0 to 1."""

    name: str
    images: int
    recall: float | None
    precision: float | None


class TeacherScore(Frozen):
    """How far a model agrees with a teacher, beside the top class: the mean share (0 to 1) of the
    teacher's five highest classes that are among its own, and the mean Kullback-Leibler divergence
    of the teacher's probabilities from its own, in nats."""

    top5_overlap: float
    kl: float


class Score(Frozen):
    """Metrics of a model on a set of images: accuracies 0 to 1, and the mean cross-entropy in nats.
    Top-5 is null for five classes or fewer. Of images with a teacher's outputs in place of labels
    the right class is the teacher's highest, and `teacher` is not null."""

    images: int
    top1: float
    top5: float | None
    loss: float
    per_class: tuple[ClassScore, ...]
    teacher: TeacherScore | None = None


class ClassAveragePrecision(Frozen):
    """One class of a detector: its number of objects, and its average precision, 0 to 1: over the
    thresholds 0.5 to 0.95 of intersection over union, and at 0.5; null without objects."""

    name: str
    objects: int
    ap: float | None
    ap50: float | None


class DetectionScore(Frozen):
    """COCO's metrics of a detector on a set of images, 0 to 1: average precision over the
    thresholds 0.5 to 0.95 of intersection over union, at 0.5, and at 0.75, of all classes with an
    object; that of objects below 32 x 32 pixels, below 96 x 96, and of larger ones; and the average
    recall of at most 100 detections. Null: there is no such object, or it is a document of an
    earlier version."""

    images: int
    objects: int
    ap: float
    ap50: float
    ap75: float
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    ar: float | None = None
    per_class: tuple[ClassAveragePrecision, ...]


ErrorKind = Literal[
    "classification", "localization", "class_and_box", "duplicate", "background", "missed"
]


class ErrorCost(Frozen):
    """One kind of a detector's errors: the number of detections, or missed objects, and what AP50
    would gain (0 to 1) if they were corrected.

    `classification`: a box with an intersection over union of at least 0.5 with an object of
    another class. `localization`: of 0.1 to 0.5 with one of its class. `class_and_box`: of 0.1 to
    0.5 with one of another class. `duplicate`: of at least 0.5 with one that a higher score has
    found. `background`: of at most 0.1 with any. `missed`: an object without a right detection, and
    without one of a wrong class or box."""

    kind: ErrorKind
    count: int
    ap50_gain: float


class Confusion(Frozen):
    """Objects of class `truth` that were found as `found` alone."""

    truth: str
    found: str
    count: int


class DetectionErrors(Frozen):
    """What keeps a detector's AP50 below 1: AP50, and what it would be if all classes were one (0
    to 1), each kind of errors, and the most frequent confusions of classes."""

    ap50: float
    class_agnostic_ap50: float
    costs: tuple[ErrorCost, ...]
    confusions: tuple[Confusion, ...]


class ClassIou(Frozen):
    """One class of a segmentation: its share of the labelled pixels, and its intersection over
    union, null where it is neither there nor found."""

    name: str
    pixels: float
    iou: float | None


class SegmentationScore(Frozen):
    """Metrics of a segmentation on the labelled pixels of a set of images, 0 to 1: the mean
    intersection over union of the classes, of those that are not the background (null where there
    is no such class), and the share of pixels with the right class."""

    images: int
    miou: float
    miou_foreground: float | None
    pixel_accuracy: float
    per_class: tuple[ClassIou, ...]


AnyScore = Score | DetectionScore | SegmentationScore


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


class DenseResult(Frozen):
    """The metrics of one file of a detector or a segmentation model in one runtime; `saved` is
    where its predictions were written, `decoding_ms` the median time on this machine from an
    image's outputs to its detections or map, in numpy, with the manifest's parameters; `errors`
    those of a detector, where they were asked for."""

    model: str
    target: str
    sha256: Sha256
    runtime: str
    precision: str
    metrics: DetectionScore | SegmentationScore
    saved: str | None = None
    decoding_ms: float | None = None
    errors: DetectionErrors | None = None


class DenseAccuracyDocument(Frozen):
    """All scores of a checkpoint or of an export's artifacts, of detection or segmentation."""

    schema_version: Literal[2] = DENSE_ACCURACY_SCHEMA
    task: DenseTask
    data: str
    split: str
    classes: tuple[str, ...]
    trained: bool = Field(description="false: the accuracy is that of chance")
    results: tuple[DenseResult, ...]
    failures: tuple[EvaluationFailure, ...] = ()


class TrainedAccuracy(Frozen):
    """One model, trained with several seeds: the top-1 accuracy of each run, 0 to 1, their mean and
    standard deviation (null for one seed). In documents of earlier versions null: `size`, height
    and width of the images in pixels; `images`, those of the test split; the bounds of the mean's
    95 % interval over seeds and images."""

    data: str
    model: str
    top1: tuple[Fraction, ...] = Field(min_length=1)
    mean: Fraction
    deviation: float | None
    size: tuple[int, int] | None = None
    images: int | None = None
    low: Fraction | None = None
    high: Fraction | None = None


class _Difference(Frozen):
    """The mean of a figure over the runs of `model` less that of `against`, -1 to 1, with its 95 %
    interval, over seeds and images or, of one seed, images alone; paired by the test images."""

    data: str
    model: str
    against: str
    difference: float
    low: float
    high: float
    over: Literal["seeds and images", "images"]
    seeds: int
    images: int
    significant: bool = Field(description="the interval does not have 0 in it")

    def line(self) -> str:
        """Return in one line whether the models differ."""
        interval = f"95 % interval {100 * self.low:+.2f} to {100 * self.high:+.2f}"
        seeds = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        alike = f"{self.model} and {self.against} do not differ significantly{self._in_metric()}"
        claim = self._claim(f"{abs(100 * self.difference):.2f} points")
        return (
            f"{self.data}: {claim if self.significant else alike}"
            f" ({interval} over {self.over}; {seeds}, {self.images} images)"
        )

    def _in_metric(self) -> str:
        """Return which metric is compared, as the end of a sentence."""
        raise NotImplementedError

    def _claim(self, points: str) -> str:
        """Return which model is better, by how many points."""
        raise NotImplementedError


class AccuracyDifference(_Difference):
    """The difference of two models' mean top-1 accuracies."""

    def _in_metric(self) -> str:
        return ""

    def _claim(self, points: str) -> str:
        more = "more" if self.difference > 0 else "less"
        return f"{self.model} is {points} {more} accurate than {self.against}"


class MetricDifference(_Difference):
    """The difference of two models' means of a metric of detection or segmentation."""

    metric: DenseMetric

    def _in_metric(self) -> str:
        return f" in {METRIC_LABELS[self.metric]}"

    def _claim(self, points: str) -> str:
        higher = "higher" if self.difference > 0 else "lower"
        label = METRIC_LABELS[self.metric]
        return f"{label} of {self.model} is {points} {higher} than that of {self.against}"


class ComparisonDocument(Frozen):
    """What `lolvit accuracy` writes: models that were trained with the same recipe and seeds, and
    the differences of each two of them (none in documents of earlier versions)."""

    options: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[TrainedAccuracy, ...]
    differences: tuple[AccuracyDifference, ...] = ()


class TrainedMetric(Frozen):
    """One detector or segmentation model, trained with several seeds: a metric of each run, 0 to 1,
    their mean with its 95 % interval over seeds and images, and their standard deviation (null for
    one seed); `size` is height and width of the images in pixels, `images` the number of those of
    the test split."""

    data: str
    model: str
    metric: DenseMetric
    values: tuple[Fraction, ...] = Field(min_length=1)
    mean: Fraction
    deviation: float | None
    low: Fraction
    high: Fraction
    size: tuple[int, int]
    images: int


class DenseComparisonDocument(Frozen):
    """What `lolvit accuracy` writes of detectors and segmentation models."""

    schema_version: Literal[2] = DENSE_ACCURACY_SCHEMA
    task: DenseTask
    options: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[TrainedMetric, ...]
    differences: tuple[MetricDifference, ...]


def read_accuracy(path: Path) -> AccuracyDocument | ComparisonDocument:
    """Read what `lolvit evaluate --json` printed of classifiers, or the `accuracy.json` of `lolvit
    accuracy`.

    Raises:
        UserError: it is missing or invalid, or of detection or segmentation.
    """
    remedy = "give what lolvit evaluate --json printed, or the accuracy.json of lolvit accuracy"
    document = load_json(path, kind="document of accuracies", remedy=remedy)
    if isinstance(document, dict) and document.get("schema_version") == DENSE_ACCURACY_SCHEMA:
        raise UserError(
            "is of detection or segmentation: only top-1 accuracies are read here",
            where=str(path),
            remedy="give one of classifiers",
        )
    if isinstance(document, dict) and "rows" in document:
        return validate(ComparisonDocument, document, str(path), remedy)
    return validate(AccuracyDocument, document, str(path), remedy)
