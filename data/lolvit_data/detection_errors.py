"""What a detector's errors are and what each kind costs, as TIDE defines them (arXiv:2008.08115).

A detection that matches no object of its class at an intersection over union of 0.5 is an error of
one kind; an object that no detection is near is missed. What a kind costs is the gain in AP50 if
its errors alone were corrected: a wrong class or box becomes right for the best detection of an
object that has none, all other errors are removed, and missed objects are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import Confusion, DetectionErrors, ErrorCost, ErrorKind
from lolvit.boxes import Floats, Indices, iou
from lolvit_data.annotations import Objects
from lolvit_data.detection_metrics import DetectionMetrics

MATCHED: Final = 0.5  # least intersection over union of a right detection
BACKGROUND: Final = 0.1  # a detection with less is of no object
MOST_CONFUSIONS: Final = 10
_RECALLS = np.linspace(0, 1, 101)  # where COCO reads the precision

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Judged:
    """A detection: its class and score, its kind (None: right), and the object that it is right
    about or would be: image and index; the object's class."""

    label: int
    score: float
    kind: ErrorKind | None
    target: tuple[int, int] | None = None
    true_label: int | None = None


def errors_of(metrics: DetectionMetrics) -> DetectionErrors:
    """Return the errors of the detections of all images, with what each kind costs."""
    detections: list[_Judged] = []
    counts = np.zeros(len(metrics.classes), np.int64)
    missed = np.zeros(len(metrics.classes), np.int64)
    for image, objects in metrics.truth.items():
        found = list(_judged(image, objects, metrics.found[image]))
        detections += found
        near = {each.target[1] for each in found if each.target is not None}
        for i in np.flatnonzero(~objects.crowd).tolist():
            counts[objects.classes[i]] += 1
            missed[objects.classes[i]] += i not in near
    base = _ap50(detections, counts)
    costs = [
        ErrorCost(
            kind=kind,
            count=int(missed.sum()) if kind == "missed" else _count(detections, kind),
            ap50_gain=(
                _ap50(detections, counts - missed)
                if kind == "missed"
                else _ap50(_corrected(detections, kind), counts)
            ) - base,
        )
        for kind in get_args(ErrorKind)
    ]  # fmt: skip
    return DetectionErrors(
        ap50=base,
        class_agnostic_ap50=_ap50_of_one_class(metrics),
        costs=tuple(costs),
        confusions=_confusions(detections, metrics.classes),
    )


def _count(detections: list[_Judged], kind: ErrorKind) -> int:
    return sum(each.kind == kind for each in detections)


def _judged(
    image: int, objects: Objects, found: list[tuple[int, float, list[float]]]
) -> Iterator[_Judged]:
    """Yield the detections of an image, highest score first; those on crowds are left out."""
    order = sorted(range(len(found)), key=lambda i: -found[i][1])  # stable
    boxes = np.array([found[i][2] for i in order], np.float64).reshape(-1, 4)
    overlaps = np.where(objects.crowd, 0.0, iou(boxes, objects.boxes))  # (detections, objects)
    in_crowd = _in_crowd(boxes, objects)
    taken: dict[int, int] = _right([found[i][0] for i in order], objects, overlaps)
    for place, i in enumerate(order):
        label, score, _ = found[i]
        if place in taken:
            yield _Judged(label, score, None, (image, taken[place]), label)
        elif not (in_crowd[place] & (objects.classes == label)).any():
            kind, target = _kind_of(overlaps[place], objects.classes == label)
            at = None if target is None else (image, target)
            yield _Judged(label, score, kind, at, _label(objects, target))


def _label(objects: Objects, target: int | None) -> int | None:
    return None if target is None else int(objects.classes[target])


def _right(labels: list[int], objects: Objects, overlaps: Floats) -> dict[int, int]:
    """Return the object of each right detection: of those of its class that none of a higher score
    has, the one with the largest overlap."""
    free = ~objects.crowd
    taken: dict[int, int] = {}
    for place, label in enumerate(labels):
        own = np.where(free & (objects.classes == label), overlaps[place], 0.0)
        if own.size and own.max() >= MATCHED:
            taken[place] = int(own.argmax())
            free[taken[place]] = False
    return taken


def _kind_of(overlaps: Floats, same: Flags) -> tuple[ErrorKind, int | None]:
    """Return the kind of a wrong detection from its overlap with each object, and the object of a
    wrong class or box."""
    own, other = np.where(same, overlaps, 0.0), np.where(same, 0.0, overlaps)
    if not overlaps.size or overlaps.max() <= BACKGROUND:
        return "background", None
    if BACKGROUND < own.max() < MATCHED:
        return "localization", int(own.argmax())
    if other.max() >= MATCHED:
        return "classification", int(other.argmax())
    if own.max() >= MATCHED:
        return "duplicate", None
    return "class_and_box", None


def _in_crowd(boxes: Floats, objects: Objects) -> Flags:
    """Whether at least half of each box is in each crowd's: (boxes, objects)."""
    corner = np.maximum(boxes[:, np.newaxis, :2], objects.boxes[np.newaxis, :, :2])
    other = np.minimum(boxes[:, np.newaxis, 2:], objects.boxes[np.newaxis, :, 2:])
    shared = np.prod(np.maximum(other - corner, 0), 2)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1)[:, np.newaxis]
    within: Flags = objects.crowd & (shared >= MATCHED * areas) & (areas > 0)
    return within


def _corrected(detections: list[_Judged], kind: ErrorKind) -> list[_Judged]:
    """Return the detections without the errors of a kind. Of those with a wrong class or box, the
    one with the highest score becomes right where its object has no right detection."""
    used = {each.target for each in detections if each.kind is None}
    best: dict[tuple[int, int], _Judged] = {}
    for each in detections:
        if each.kind == kind and each.target is not None and each.target not in used:
            known = best.get(each.target)
            if known is None or each.score > known.score:
                best[each.target] = each
    fixed = []
    for each in detections:
        if each.kind != kind:
            fixed.append(each)
        elif each.target is not None and best.get(each.target) is each:
            assert each.true_label is not None
            fixed.append(_Judged(each.true_label, each.score, None, each.target, each.true_label))
    return fixed


def _ap50(detections: list[_Judged], counts: Indices) -> float:
    """Return COCO's average precision at 0.5: the mean over the classes with objects."""
    values = []
    for label in np.flatnonzero(counts > 0).tolist():
        own = sorted((e for e in detections if e.label == label), key=lambda e: -e.score)
        right = np.array([each.kind is None for each in own], bool)
        values.append(_average_precision(right, int(counts[label])))
    return float(np.mean(values)) if values else 0.0


def _average_precision(right: Flags, count: int) -> float:
    """Return the mean of the precision at 101 recalls, of detections in order of their score."""
    if not right.any():
        return 0.0
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    # At each recall the best precision at this recall or a higher one.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / count, _RECALLS, side="left")
    return float(np.append(best, 0.0)[np.minimum(places, len(best))].mean())


def _ap50_of_one_class(metrics: DetectionMetrics) -> float:
    """Return AP50 if all classes were one."""
    merged: list[_Judged] = []
    total = 0
    for image, objects in metrics.truth.items():
        one = Objects(objects.boxes, np.zeros_like(objects.classes), objects.crowd, objects.areas)
        found = [(0, score, box) for _, score, box in metrics.found[image]]
        merged += _judged(image, one, found)
        total += int((~objects.crowd).sum())
    return _ap50(merged, np.array([total]))


def _confusions(detections: list[_Judged], classes: tuple[str, ...]) -> tuple[Confusion, ...]:
    """Return the most frequent wrong classes, of objects without a right detection: for each the
    detection with the highest score."""
    fixed = {
        each.target: each
        for each in sorted(detections, key=lambda e: e.score)
        if each.kind == "classification"
    }
    used = {each.target for each in detections if each.kind is None}
    pairs = Counter(
        (each.true_label, each.label) for target, each in fixed.items() if target not in used
    )
    return tuple(
        Confusion(truth=classes[truth], found=classes[found], count=count)
        for (truth, found), count in sorted(pairs.items(), key=lambda e: (-e[1], e[0]))[
            :MOST_CONFUSIONS
        ]
        if truth is not None
    )
