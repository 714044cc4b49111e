"""The vectors by which the postprocessing of detection and segmentation in other languages is
checked: `python -m tests.vectors.prediction_vectors` writes `predictions.json`.

Outputs are in the layouts NCL and NCHW, flat; values are exact in float32, and many are equal, so
that ties count. Boxes are to agree within 1e-6 pixels, all else exactly.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lolvit.placement import Placement
from lolvit.tasks import Model
from lolvit.tasks.detection import TASK as DETECTION
from lolvit.tasks.segmentation import TASK as SEGMENTATION

PATH = Path(__file__).parent / "predictions.json"
SIZE, POINTS, CLASSES = (64, 96), 8 * 12 + 4 * 6 + 2 * 3, 3

_STRETCHED = Placement((150, 200), SIZE, SIZE)
_PADDED = Placement((100, 50), (64, 32), SIZE, (0, -32))  # letterbox
_CROPPED = Placement((90, 160), (72, 128), SIZE, (4, 16))

# Name: the placement, changed parameters, levels of scores of which each is one.
_DETECTIONS: dict[str, tuple[Placement, dict[str, Any], int]] = {
    "stretched": (_STRETCHED, {}, 1024),
    "letterbox: boxes in the padding are dropped": (_PADDED, {}, 1024),
    "crop": (_CROPPED, {}, 1024),
    "ties: the lower class first, then the lower point": (_STRETCHED, {}, 8),
    "more candidates than are kept, with ties at the limit": (
        _STRETCHED, {"max_candidates": 20, "score_threshold": 0.125}, 8,
    ),
    "more detections than are kept": (
        _STRETCHED, {"max_detections": 5, "iou_threshold": 0.9}, 1024,
    ),
    "scores at the threshold count": (_STRETCHED, {"score_threshold": 0.875}, 8),
    "nothing": (_STRETCHED, {"score_threshold": 1.0}, 1024),
}  # fmt: skip
_AT_THRESHOLD = "an overlap of the threshold itself is kept, a larger one is not"
# Name: the placement, the logits' shape, how many a region of one class has a side.
_MAPS = {
    "stretched": (_STRETCHED, (CLASSES, 8, 12), 1),
    "letterbox": (_PADDED, (CLASSES, 8, 12), 1),
    "crop": (_CROPPED, (CLASSES, 8, 12), 1),
    "regions: in most cells one class is left, in others some": (_STRETCHED, (9, 8, 12), 4),
    "cells of unequal sides": (_STRETCHED, (5, 5, 7), 2),
}


def vectors() -> dict[str, Any]:
    """Return all vectors, the same each time."""
    generator = np.random.default_rng(8)
    return {
        "detection": [
            *(_detection(name, *case, generator) for name, case in _DETECTIONS.items()),
            _overlapping(),
        ],
        "segmentation": [_map(name, *case, generator) for name, case in _MAPS.items()],
    }


def _detection(
    name: str,
    placement: Placement,
    changed: dict[str, Any],
    levels: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    scores = generator.integers(0, levels, (1, CLASSES, POINTS)) / levels
    scores *= generator.random(scores.shape) < 0.2  # most are background
    boxes = generator.integers(-16, 192, (1, 4, POINTS)) / 64  # a negative one counts as 0
    return _described(name, placement, changed, boxes, scores)


def _overlapping() -> dict[str, Any]:
    """Return three boxes from the corner, 16 pixels wide and 16, 8 and 12 high, in the order of
    their scores: the others have 0.5 and 0.75 in common with the first."""
    boxes, scores = np.zeros((1, 4, POINTS)), np.zeros((1, CLASSES, POINTS))
    columns = SIZE[1] // 8
    for place, score, distances in (
        (0, 0.875, (0.5, 0.5, 1.5, 1.5)),  # left, top, right, bottom, from (4, 4) in strides of 8
        (1, 0.75, (1.5, 0.5, 0.5, 0.5)),  # from (12, 4)
        (columns + 1, 0.625, (1.5, 1.5, 0.5, 0)),  # from (12, 12)
    ):
        boxes[0, :, place], scores[0, 0, place] = distances, score
    same = Placement(SIZE, SIZE, SIZE)
    return _described(_AT_THRESHOLD, same, {"iou_threshold": 0.5}, boxes, scores)


def _described(
    name: str,
    placement: Placement,
    changed: dict[str, Any],
    boxes: np.ndarray,
    scores: np.ndarray,
) -> dict[str, Any]:
    """Return outputs with what Python finds in them."""
    task = DETECTION.configure(SIZE, {**DETECTION.postprocessing(), **changed})
    outputs = {"boxes": boxes.astype(np.float32), "scores": scores.astype(np.float32)}
    found = task.predict(outputs, Model(placement), {})
    return {
        "name": name,
        "size": SIZE,
        "postprocessing": task.postprocessing(),
        "placement": _as_json(placement),
        "boxes": boxes.ravel().tolist(),
        "scores": scores.ravel().tolist(),
        "detections": [
            {"index": each.index, "score": each.score, "box": each.box} for each in found.objects
        ],
    }


def _map(
    name: str,
    placement: Placement,
    shape: tuple[int, int, int],
    region: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    logits = generator.integers(-8, 8, (1, *shape)) / 4
    if region > 1:
        sides = [side // region + 1 for side in shape[1:]]
        values = generator.integers(-40, 40, (1, shape[0], *sides)).repeat(region, 2)
        logits += values.repeat(region, 3)[:, :, : shape[1], : shape[2]]
    task = SEGMENTATION.configure(SIZE, {})
    outputs = {"logits": logits.astype(np.float32)}
    found = task.predict(outputs, Model(placement), {})
    return {
        "name": name,
        "size": SIZE,
        "postprocessing": task.postprocessing(),
        "placement": _as_json(placement),
        "logits_shape": logits.shape,
        "logits": logits.ravel().tolist(),
        "on_input": _runs(task.decoded(outputs)),
        "on_photo": _runs(found.classes),
    }


def _as_json(placement: Placement) -> dict[str, Any]:
    return {
        "photo": placement.photo, "resized": placement.resized, "offset": placement.offset,
    }  # fmt: skip


def _runs(classes: np.ndarray) -> list[int]:
    """Return a map, row by row, as class, count, class, count, …"""
    flat = classes.ravel()
    starts = np.flatnonzero(np.diff(flat.astype(int), prepend=-1))
    counts = np.diff([*starts, flat.size])
    return [int(n) for pair in zip(flat[starts], counts, strict=True) for n in pair]


if __name__ == "__main__":
    PATH.write_text(json.dumps(json.loads(json.dumps(vectors())), separators=(",", ":")) + "\n")
