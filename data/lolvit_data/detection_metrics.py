"""COCO's average precision, by pycocotools, of detections on photos."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassAveragePrecision, DetectionScore
from lolvit.files import write_atomic
from lolvit_data.annotations import GROUPS, AnnotatedDataset, Objects

# What is evaluated: unlikely detections too, as COCO's curves need them.
_MOST = 100
OPTIONS = {"score_threshold": 0.01, "max_detections": _MOST}
_ALL_AREAS, _SIZES = 0, (1, 2, 3)  # places of all areas, and of small, medium and large ones
_AT_50, _AT_75 = 0, 5  # places of the thresholds 0.5 and 0.75 among 0.5, 0.55, …, 0.95


@dataclass
class DetectionMetrics:
    """Ground truth and detections of images, by the index of the image."""

    classes: tuple[str, ...]
    truth: dict[int, Objects] = field(default_factory=dict)
    found: dict[int, list[tuple[int, float, list[float]]]] = field(default_factory=dict)
    by_size: bool = True  # of small, medium and large objects too, which takes four times as long

    def update(
        self,
        image: int,
        objects: Objects,
        boxes: npt.NDArray[np.float64],
        scores: npt.NDArray[np.float64],
        classes: npt.NDArray[np.int64],
    ) -> None:
        """Add an image: its objects, and detections with boxes (N, 4) in the photo's pixels."""
        self.truth[image] = objects
        self.found[image] = list(
            zip(classes.tolist(), scores.tolist(), boxes.tolist(), strict=True)
        )

    def merge(self, others: Sequence[DetectionMetrics]) -> DetectionMetrics:
        """Return the metrics of all images of several processes."""
        merged = DetectionMetrics(self.classes, by_size=self.by_size)
        for each in others:
            merged.truth |= each.truth
            merged.found |= each.found
        return merged

    def compute(self) -> DetectionScore:
        """Return the metrics: 0 where nothing was found."""
        return self.matched().compute()

    def matched(self) -> MatchedDetections:
        """Match the detections with the objects."""
        return MatchedDetections(self)


class MatchedDetections:
    """Detections that pycocotools has matched with the objects of their images, once for the
    metrics of all images and of any part of them."""

    def __init__(self, metrics: DetectionMetrics) -> None:
        self._classes, self._truth = metrics.classes, metrics.truth
        self._images = sorted(metrics.truth)  # as pycocotools orders them
        self._evaluation = _evaluated(metrics)
        # A record or None for each (class, area, image): pycocotools has them in one list.
        records = np.empty(len(self._evaluation.evalImgs), object)
        records[:] = self._evaluation.evalImgs
        areas = len(self._evaluation.params.areaRng)
        self._records = records.reshape(len(self._classes), areas, len(self._images))

    def compute(self) -> DetectionScore:
        """Return the metrics of all images: 0 where nothing was found."""
        return self.compute_of(self._images)

    def without_groups(self) -> tuple[DetectionScore, ...]:
        """Return the metrics of all images but those of each group, of groups that have any."""
        groups = sorted({image % GROUPS for image in self._images})
        return tuple(
            self.compute_of([image for image in self._images if image % GROUPS != group])
            for group in groups
        )

    def truth_sha256(self) -> str:
        """Return the digest of all images' objects, in the order of the images."""
        digest = hashlib.sha256()
        for image in self._images:
            objects = self._truth[image]
            digest.update(np.array([image, len(objects.classes)], "<i8").tobytes())
            columns = (objects.boxes, objects.areas, objects.classes, objects.crowd)
            digest.update(np.column_stack(columns).astype("<f8").tobytes())
        return digest.hexdigest()

    def compute_of(self, images: Collection[int]) -> DetectionScore:
        """Return the metrics of some images."""
        chosen = sorted(images)
        counts = np.zeros(len(self._classes), np.int64)
        for image in chosen:
            objects = self._truth[image]
            np.add.at(counts, objects.classes[~objects.crowd], 1)
        found = self._accumulated(chosen)
        precision = found["precision"][..., _ALL_AREAS, -1]  # (thresholds, recalls, classes)
        seen = precision > -1
        totals = np.where(seen, precision, 0).sum(1)
        points = np.maximum(seen.sum(1), 1)
        by_class = totals / points  # (thresholds, classes)
        present = counts > 0

        def mean(values: npt.NDArray[np.float64]) -> float:
            chosen = values[..., present]
            return float(chosen.mean()) if chosen.size else 0.0

        areas = found["precision"].shape[3]
        small, medium, large = (
            _mean_of_known(found["precision"][..., area, -1]) if area < areas else None
            for area in _SIZES
        )
        return DetectionScore(
            images=len(chosen),
            objects=int(counts.sum()),
            ap=mean(by_class),
            ap50=mean(by_class[_AT_50]),
            ap75=mean(by_class[_AT_75]),
            ap_small=small,
            ap_medium=medium,
            ap_large=large,
            ar=_mean_of_known(found["recall"][..., _ALL_AREAS, -1]),
            per_class=tuple(
                ClassAveragePrecision(
                    name=name,
                    objects=int(counts[i]),
                    ap=float(by_class[:, i].mean()) if present[i] else None,
                    ap50=float(by_class[_AT_50, i]) if present[i] else None,
                )
                for i, name in enumerate(self._classes)
            ),
        )

    def _accumulated(self, images: Sequence[int]) -> dict[str, npt.NDArray[np.float64]]:
        """Return pycocotools' `precision` (thresholds, recalls, classes, areas, limits) and
        `recall` (thresholds, classes, areas, limits) of some images in ascending order, -1 where
        there is no object."""
        part = copy.copy(self._evaluation)
        part.params = copy.copy(part.params)
        part.params.imgIds = list(images)
        # What the records are of: accumulate() finds them by their places, in this.
        part._paramsEval = part.params
        places = np.searchsorted(self._images, images)
        part.evalImgs = self._records[..., places].ravel().tolist()
        with _silent():
            part.accumulate()
        return {name: part.eval[name] for name in ("precision", "recall")}


def _evaluated(metrics: DetectionMetrics) -> Any:
    """Return a COCOeval that has matched all detections."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with _silent():
        truth = COCO()
        truth.dataset = _document(metrics)
        truth.createIndex()
        found = COCO()
        found.dataset = {**_document(metrics), "annotations": _results(metrics)}
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = [_MOST]
        if not metrics.by_size:
            evaluation.params.areaRng = evaluation.params.areaRng[: _ALL_AREAS + 1]
        evaluation.evaluate()
    return evaluation


def _silent() -> contextlib.AbstractContextManager[Any]:
    """Swallow what pycocotools prints of each step."""
    return contextlib.redirect_stdout(io.StringIO())


def _document(metrics: DetectionMetrics) -> dict[str, Any]:
    annotations = [
        {
            "id": 0, "image_id": image, "category_id": int(objects.classes[i]),
            "bbox": _as_xywh(objects.boxes[i].tolist()), "area": float(objects.areas[i]),
            "iscrowd": int(objects.crowd[i]),
        }
        for image, objects in metrics.truth.items()
        for i in range(len(objects.classes))
    ]  # fmt: skip
    for number, each in enumerate(annotations, 1):  # 0 would count as no match
        each["id"] = number
    return {
        "info": {},
        "images": [{"id": image} for image in metrics.truth],
        "categories": [{"id": i} for i in range(len(metrics.classes))],
        "annotations": annotations,
    }


def _results(metrics: DetectionMetrics) -> list[dict[str, Any]]:
    rows = [
        (image, label, score, _as_xywh(box))
        for image, detections in metrics.found.items()
        for label, score, box in detections
    ]
    return [
        {"id": i, "image_id": image, "category_id": label, "score": score, "bbox": box,
         "area": box[2] * box[3], "iscrowd": 0}
        for i, (image, label, score, box) in enumerate(rows, 1)
    ]  # fmt: skip


def _mean_of_known(values: npt.NDArray[np.float64]) -> float | None:
    """Return the mean of what is known, as COCO's own summary has it; None if nothing is."""
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def save_detections(metrics: DetectionMetrics, dataset: AnnotatedDataset, path: Path) -> None:
    """Write detections as COCO's evaluation server takes them: image and class ids as the data set
    has them, boxes as left, top, width, height."""
    ids = getattr(dataset, "category_ids", None) or range(1, len(dataset.classes) + 1)
    rows = [
        {"image_id": _id(dataset.identifier(image)), "category_id": int(ids[label]),
         "bbox": [round(value, 2) for value in _as_xywh(box)], "score": round(score, 5)}
        for image, detections in sorted(metrics.found.items())
        for label, score, box in detections
    ]  # fmt: skip
    write_atomic(path, json.dumps(rows) + "\n")


def _id(identifier: str) -> int | str:
    return int(identifier) if identifier.isdecimal() else identifier


def _as_xywh(box: list[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
