"""COCO's average precision, by pycocotools, of detections on photos."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lolvit.accuracy import ClassAveragePrecision, DetectionScore
from lolvit.files import write_atomic
from lolvit_data.annotations import AnnotatedDataset, Objects

# What is evaluated: unlikely detections too, as COCO's curves need them.
OPTIONS = {"score_threshold": 0.01, "max_detections": 100}
_ALL_AREAS, _SIZES = 0, (1, 2, 3)  # places of all areas, and of small, medium and large ones
_AT_50, _AT_75 = 0, 5  # places of the thresholds 0.5 and 0.75 among 0.5, 0.55, …, 0.95


@dataclass
class DetectionMetrics:
    """Ground truth and detections of images, by the index of the image."""

    classes: tuple[str, ...]
    truth: dict[int, Objects] = field(default_factory=dict)
    found: dict[int, list[tuple[int, float, list[float]]]] = field(default_factory=dict)

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
        merged = DetectionMetrics(self.classes)
        for each in others:
            merged.truth |= each.truth
            merged.found |= each.found
        return merged

    def compute(self) -> DetectionScore:
        """Return the metrics: 0 where nothing was found."""
        counts = np.zeros(len(self.classes), np.int64)
        for objects in self.truth.values():
            np.add.at(counts, objects.classes[~objects.crowd], 1)
        found = self._evaluated()
        # (thresholds, recalls, classes): all areas, 100 detections
        precision = found["precision"][..., _ALL_AREAS, -1]
        seen = precision > -1
        totals = np.where(seen, precision, 0).sum(1)
        points = np.maximum(seen.sum(1), 1)
        by_class = totals / points  # (thresholds, classes)
        present = counts > 0

        def mean(values: npt.NDArray[np.float64]) -> float:
            chosen = values[..., present]
            return float(chosen.mean()) if chosen.size else 0.0

        by_size = [_mean_of_known(found["precision"][..., area, -1]) for area in _SIZES]

        return DetectionScore(
            images=len(self.truth),
            objects=int(counts.sum()),
            ap=mean(by_class),
            ap50=mean(by_class[_AT_50]),
            ap75=mean(by_class[_AT_75]),
            ap_small=by_size[0],
            ap_medium=by_size[1],
            ap_large=by_size[2],
            ar=_mean_of_known(found["recall"][..., _ALL_AREAS, -1]),
            per_class=tuple(
                ClassAveragePrecision(
                    name=name,
                    objects=int(counts[i]),
                    ap=float(by_class[:, i].mean()) if present[i] else None,
                    ap50=float(by_class[_AT_50, i]) if present[i] else None,
                )
                for i, name in enumerate(self.classes)
            ),
        )

    def _evaluated(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return pycocotools' `precision` (thresholds, recalls, classes, areas, limits) and
        `recall` (thresholds, classes, areas, limits), -1 where there is no object."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with contextlib.redirect_stdout(io.StringIO()):  # it prints each step
            truth = COCO()
            truth.dataset = self._document()
            truth.createIndex()
            found = COCO()
            found.dataset = {**self._document(), "annotations": self._results()}
            found.createIndex()
            evaluation = COCOeval(truth, found, "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
        return {name: evaluation.eval[name] for name in ("precision", "recall")}

    def _document(self) -> dict[str, Any]:
        annotations = [
            {
                "id": 0, "image_id": image, "category_id": int(objects.classes[i]),
                "bbox": _as_xywh(objects.boxes[i].tolist()), "area": float(objects.areas[i]),
                "iscrowd": int(objects.crowd[i]),
            }
            for image, objects in self.truth.items()
            for i in range(len(objects.classes))
        ]  # fmt: skip
        for number, each in enumerate(annotations, 1):  # 0 would count as no match
            each["id"] = number
        return {
            "info": {},
            "images": [{"id": image} for image in self.truth],
            "categories": [{"id": i} for i in range(len(self.classes))],
            "annotations": annotations,
        }

    def _results(self) -> list[dict[str, Any]]:
        rows = [
            (image, label, score, _as_xywh(box))
            for image, detections in self.found.items()
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
