"""Detection: boxes and class scores of a dense, anchor-free detector.

Outputs, with N points over all strides and C classes: `boxes` (1, 4, N), the distances from each
point to the left, top, right and bottom side in units of its stride, and `scores` (1, C, N), 0 to
1. They are two tensors, never one: quantized, boxes and scores must not share a scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from lolvit.boxes import Floats, Indices, decode, match, points_of, suppress
from lolvit.documents import Frozen, validate
from lolvit.drawing import draw_box, palette
from lolvit.errors import DeviceError, UserError
from lolvit.manifest import Meaning
from lolvit.tasks import Agreement, Array, Metric, Model, Outputs

# Least intersection over union of a detection with eager's.
LEAST_IOU = {"fp32": 0.99, "fp16": 0.97, "int8": 0.85, "w8a16": 0.9, "w4": 0.85}
# With fewer objects, one is more than a twentieth of all: no agreement is claimed.
MIN_OBJECTS = 20
MIN_OBJECTS_OF_CLASS = 5
WORST_CLASS_RECALL = 0.5
# A detection this close to the score threshold may fall on its other side; at most so many do.
NEAR_THRESHOLD = {"fp32": 0.001, "fp16": 0.02, "int8": 0.05, "w8a16": 0.03, "w4": 0.05}
MAX_LEFT_OUT = 0.05


class BoxParameters(Frozen):
    """How boxes and scores become detections: the manifest's `postprocessing`.

    1. Candidates are all pairs of a point and a class whose score is at least `score_threshold`;
       the `max_candidates` with the highest score are kept, in order of the score, ties by the
       lower class, then by the lower point.
    2. Decode their boxes. Points are the centres of the cells of each stride's map, row by row,
       stride by stride.
    3. Non-maximum suppression within each class: in order, a candidate is dropped if its
       intersection over union with a kept one of its class is above `iou_threshold`. Stop at
       `max_detections`.
    4. Map the boxes to the photo, clip them to it, and drop the empty ones.
    """

    kind: Literal["boxes_ltrb"] = "boxes_ltrb"
    strides: tuple[int, ...] = Field(default=(8, 16, 32), min_length=1)
    score_threshold: float = Field(default=0.3, ge=0, le=1)
    iou_threshold: float = Field(default=0.6, ge=0, le=1)
    max_candidates: int = Field(default=1000, ge=1)
    max_detections: int = Field(default=100, ge=1)


@dataclass(frozen=True)
class Detection:
    """One object: its class and score, and its box as left, top, right, bottom in the photo's
    pixels; `label` is None without labels in the manifest."""

    index: int
    label: str | None
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Detections:
    """The objects in a photo, highest score first."""

    objects: tuple[Detection, ...]
    colors: tuple[tuple[int, int, int], ...] = field(repr=False, default=())

    def as_document(self) -> dict[str, Any]:
        """Return the objects as plain JSON values."""
        return {"detections": [{**asdict(each), "box": list(each.box)} for each in self.objects]}

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row per object: class, label, score and box."""
        return [
            (str(e.index), e.label or "-", f"{e.score:.4f}", *(f"{side:.1f}" for side in e.box))
            for e in self.objects
        ]

    def draw(self, photo: Image.Image) -> Image.Image:
        """Return a copy of the photo with the boxes; those of higher scores are on top."""
        drawn = photo.convert("RGB")
        for each in reversed(self.objects):
            text = f"{each.label if each.label is not None else each.index} {each.score:.2f}"
            draw_box(drawn, each.box, text, self.colors[each.index])
        return drawn


@dataclass(frozen=True)
class Boxes:
    """Detections of one image in the input's pixels, highest score first: boxes (N, 4), scores (N,)
    and classes (N,)."""

    boxes: Floats
    scores: Floats
    classes: Indices


@dataclass(frozen=True)
class DetectionTask:
    """Finds objects; `size` is the input's height and width in pixels."""

    size: tuple[int, int] | None = None
    parameters: BoxParameters = field(default_factory=BoxParameters)

    name: ClassVar[str] = "detection"
    columns: ClassVar[tuple[str, ...]] = (
        "class", "label", "score", "left", "top", "right", "bottom",
    )  # fmt: skip
    # Share of detections that eager and the artifact have in common.
    agreement: ClassVar[str | None] = "matched_detections"
    agreement_thresholds: ClassVar[Mapping[str, float]] = {
        "fp32": 0.99, "fp16": 0.95, "int8": 0.85, "w8a16": 0.9, "w4": 0.85,
    }  # fmt: skip

    def configure(self, size: tuple[int, int], postprocessing: Mapping[str, Any]) -> DetectionTask:
        """Return the task for an input size and the manifest's parameters."""
        where = "postprocessing"
        parameters = validate(BoxParameters, dict(postprocessing), where, remedy="export again")
        return replace(self, size=size, parameters=parameters)

    def recognizes(self, outputs: Sequence[tuple[str, tuple[int, ...], str]]) -> bool:
        """Whether they are `boxes` (B, 4, N) and `scores` (B, C, N), with a point for each cell."""
        shapes = {name: shape for name, shape, dtype in outputs if dtype.startswith("float")}
        if set(shapes) != {"boxes", "scores"} or len(outputs) != 2:
            return False
        boxes, scores = shapes["boxes"], shapes["scores"]
        fits = len(boxes) == len(scores) == 3 and boxes[1] == 4 and boxes[2] == scores[2]
        return fits and (self.size is None or boxes[2] == len(self._points()[1]))

    def meaning(self, name: str) -> Meaning:
        """Return `distances` or `scores`."""
        return "distances" if name == "boxes" else "scores"

    def classes(self, outputs: Mapping[str, tuple[int, ...]]) -> int | None:
        """Return the number of classes, from the shape of the scores."""
        return outputs["scores"][1]

    def postprocessing(self) -> dict[str, Any]:
        """Return the parameters that apps decode with."""
        return self.parameters.model_dump(mode="json")

    def predict(self, outputs: Outputs, model: Model, options: Mapping[str, Any]) -> Detections:
        """Return the objects of one image on the photo. Options: `score_threshold`,
        `iou_threshold`, `max_detections` instead of the manifest's.

        Raises:
            DeviceError: an output is not finite.
            UserError: an option is out of range.
        """
        found = self.with_options(options).decoded(outputs)
        placed = model.placement.boxes_on_photo(found.boxes)
        objects = tuple(
            Detection(
                index=index,
                label=model.labels[index] if model.labels else None,
                score=score,
                box=(box[0], box[1], box[2], box[3]),
            )
            for index, score, box in zip(
                found.classes.tolist(), found.scores.tolist(), placed.tolist(), strict=True
            )
            if box[2] > box[0] and box[3] > box[1]
        )
        count = outputs["scores"].shape[1]
        return Detections(objects, tuple(palette(count, model.colors)))

    def with_options(self, options: Mapping[str, Any]) -> DetectionTask:
        """Return the task with other thresholds.

        Raises:
            UserError: one is out of range.
        """
        names = ("score_threshold", "iou_threshold", "max_detections", "max_candidates")
        given = {name: options[name] for name in names if options.get(name) is not None}
        if not given:
            return self
        changed = {**self.parameters.model_dump(), **given}
        return replace(
            self,
            parameters=validate(BoxParameters, changed, "option", remedy="give another value"),
        )

    def decoded(self, outputs: Outputs) -> Boxes:
        """Return one image's detections in the input's pixels.

        Raises:
            DeviceError: an output is not finite.
        """
        for name, array in outputs.items():
            if not np.isfinite(array).all():
                raise DeviceError(f"its {name} are not finite")
        scores = outputs["scores"][0]  # (C, N)
        classes, points, values = _candidates(scores, self.parameters)
        centres, strides = self._points()
        distances = outputs["boxes"][0][:, points].T  # (candidates, 4)
        boxes = decode(distances, centres[points], strides[points])
        kept = suppress(
            boxes, classes, self.parameters.iou_threshold, self.parameters.max_detections
        )
        return Boxes(boxes[kept], values[kept], classes[kept])

    def _points(self) -> tuple[Floats, Floats]:
        if self.size is None:
            raise UserError("the detector's input size is unknown", remedy="export again")
        return _points_of(self.size, self.parameters.strides)

    def compare(
        self, references: Sequence[Outputs], outputs: Sequence[Outputs], precision: str
    ) -> Agreement:
        """Return how far eager's detections and the artifact's are the same, one to one.

        Missed and invented ones count alike: 2 matched / (eager's + found). Those close to the
        score threshold are left out, up to `MAX_LEFT_OUT` of all, and of each class's recall all of
        them. None is claimed where both find fewer than `MIN_OBJECTS`.
        """
        total = left_out = matched = most = 0
        hits: Counter[int] = Counter()
        missed: Counter[int] = Counter()
        limit = self.parameters.score_threshold + NEAR_THRESHOLD[precision]
        sums = np.zeros(2, np.int64)
        for reference, output in zip(references, outputs, strict=True):
            first, second = self.decoded(reference), self.decoded(output)
            pairs = match(
                first.boxes, first.classes, second.boxes, second.classes, LEAST_IOU[precision]
            )
            used = [{pair[side] for pair in pairs} for side in (0, 1)]
            for side, found in enumerate((first, second)):
                alone = [i for i in range(len(found.scores)) if i not in used[side]]
                firm = [i for i in alone if found.scores[i] >= limit]
                left_out += len(alone) - len(firm)
                if side == 0:
                    missed.update(found.classes[firm].tolist())
            sums += len(first.scores), len(second.scores)
            matched += len(pairs)
            hits.update(int(first.classes[row]) for row, _ in pairs)
        total, most = int(sums.sum()), int(sums.max())
        if most < MIN_OBJECTS:
            return Agreement(None)
        left_out = min(int(left_out), int(MAX_LEFT_OUT * total))
        support = hits + missed
        worst = min(
            (hits[c] / n for c, n in support.items() if n >= MIN_OBJECTS_OF_CLASS), default=None
        )
        others = () if worst is None else (Metric("worst_class_recall", worst, WORST_CLASS_RECALL),)
        return Agreement(2 * matched / (total - left_out), left_out, others)

    def is_right(self, outputs: Outputs, label: int) -> bool | None:
        """Return None: an image has no single label."""
        return None


def _candidates(scores: Array, parameters: BoxParameters) -> tuple[Indices, Indices, Floats]:
    """Return classes, points and scores of the candidates of scores (C, N), highest score first."""
    flat: npt.NDArray[Any] = scores.ravel()
    chosen = np.flatnonzero(flat >= _least(flat.dtype, parameters.score_threshold))
    values = flat[chosen].astype(np.float64)
    if len(chosen) > parameters.max_candidates:
        place = len(chosen) - parameters.max_candidates
        enough = values >= np.partition(values, place)[place]
        chosen, values = chosen[enough], values[enough]
    order = np.argsort(-values, kind="stable")[: parameters.max_candidates]
    classes, points = np.divmod(chosen[order], scores.shape[1])
    return classes, points, values[order]


def _least(dtype: np.dtype[Any], threshold: float) -> float:
    """Return the lowest value of a dtype that is at least the threshold: what is compared in it is
    then as in float64, which languages without float32 compare in."""
    nearest = float(np.asarray(threshold).astype(dtype))
    if nearest >= threshold:
        return nearest
    return float(np.nextafter(np.asarray(nearest, dtype), np.asarray(np.inf, dtype)))


# A predictor asks for the same points for each photo; they take a third of its decoding.
_points_of = lru_cache(maxsize=8)(points_of)

TASK = DetectionTask()
