"""The kinds of a detector's errors, on made predictions."""

from __future__ import annotations

import numpy as np
import pytest

from lolvit.accuracy import DetectionErrors
from lolvit_data.annotations import Objects
from lolvit_data.detection_errors import errors_of
from lolvit_data.detection_metrics import DetectionMetrics

CLASSES = ("cat", "dog", "bird")
# Two cats and a dog, far from each other.
BOXES = [[0.0, 0, 40, 40], [100, 0, 140, 40], [0, 100, 40, 140]]
LABELS = [0, 0, 1]


def errors(found: list[tuple[int, float, list[float]]], crowd: list[bool] | None = None) -> tuple[
    DetectionErrors, dict[str, tuple[int, float]]
]:  # fmt: skip
    """Return the errors of (class, score, box), and number and gain of the kinds that occur."""
    metrics = DetectionMetrics(CLASSES)
    labels, scores, boxes = ([each[i] for each in found] for i in range(3))
    metrics.update(
        0, Objects.of(BOXES, LABELS, crowd), np.array(boxes, float).reshape(-1, 4),
        np.array(scores), np.array(labels, int),
    )  # fmt: skip
    result = errors_of(metrics)
    counts = {each.kind: (each.count, each.ap50_gain) for each in result.costs}
    return result, {kind: found for kind, found in counts.items() if found[0]}


RIGHT = list(zip(LABELS, [0.9, 0.8, 0.7], BOXES, strict=True))


def test_right_detections_are_no_errors() -> None:
    result, kinds = errors(RIGHT)
    assert kinds == {} and result.confusions == ()
    assert result.ap50 == result.class_agnostic_ap50 == pytest.approx(1)


@pytest.mark.parametrize(
    ("wrong", "kind", "gain"),
    [
        ((2, 0.7, BOXES[2]), "classification", 0.5),
        ((1, 0.7, [20, 100, 60, 140]), "localization", 0.5),
        ((0, 0.7, [20, 100, 60, 140]), "class_and_box", 0),
        ((1, 0.7, [200, 200, 240, 240]), "background", 0),
    ],
)
def test_a_dog_that_is_not_found_is_an_error_of_one_kind(
    wrong: tuple[int, float, list[float]], kind: str, gain: float
) -> None:
    result, kinds = errors([*RIGHT[:2], wrong])
    assert result.ap50 == pytest.approx(0.5)
    assert kinds.pop(kind) == (1, pytest.approx(gain))
    # What no detection of a wrong class or box is near to is missed.
    assert kinds == ({} if gain else {"missed": (1, pytest.approx(0.5))})


def test_a_duplicate_of_a_higher_score_than_a_hit_costs_precision() -> None:
    _, kinds = errors([*RIGHT, (0, 0.85, [1, 0, 41, 40])])
    # Precision of cats: 1, 1/2, 2/3; read at 101 recalls, of which 51 are at most one half.
    assert kinds == {"duplicate": (1, pytest.approx((1 - (51 + 50 * 2 / 3) / 101) / 2))}


def test_confusions_name_both_classes_and_leave_out_objects_that_were_found_too() -> None:
    seen_twice = (1, 0.95, BOXES[0])  # a cat, as a dog too
    result, kinds = errors([*RIGHT[:2], (2, 0.6, BOXES[2]), seen_twice])
    assert kinds["classification"][0] == 2
    (one,) = result.confusions
    assert (one.truth, one.found, one.count) == ("dog", "bird", 1)


def test_detections_on_a_crowd_are_no_errors_and_a_crowd_is_not_missed() -> None:
    result, kinds = errors([*RIGHT[:2], (1, 0.95, [5, 105, 20, 120])], crowd=[False, False, True])
    assert kinds == {} and result.ap50 == pytest.approx(1)


def test_an_image_without_objects_or_detections_is_read() -> None:
    metrics = DetectionMetrics(CLASSES)
    nothing = np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)
    metrics.update(0, Objects.of([], []), np.array([BOXES[0]]), np.array([0.9]), np.array([0]))
    metrics.update(1, Objects.of(BOXES, LABELS), *nothing)
    kinds = {each.kind: each.count for each in errors_of(metrics).costs}
    assert kinds["background"] == 1 and kinds["missed"] == 3


def test_its_average_precision_is_that_of_pycocotools() -> None:
    draw = np.random.default_rng(0)
    metrics, merged = DetectionMetrics(CLASSES), DetectionMetrics(("all",))
    for image in range(30):
        count = int(draw.integers(0, 6))
        corners = draw.uniform(0, 200, (count, 2))
        boxes = np.concatenate([corners, corners + draw.uniform(20, 80, (count, 2))], 1)
        labels, crowd = draw.integers(0, 3, count), draw.random(count) < 0.1
        found = np.repeat(boxes, 3, 0) + draw.normal(0, 6, (3 * count, 4))
        scores = draw.random(3 * count)
        guesses = np.where(draw.random(3 * count) < 0.7, np.repeat(labels, 3), 2)
        metrics.update(image, Objects.of(boxes, labels, crowd), found, scores, guesses)
        merged.update(
            image, Objects.of(boxes, labels * 0, crowd), found, scores, guesses * 0
        )  # fmt: skip
    result = errors_of(metrics)
    assert 0.1 < result.ap50 < 0.9
    assert result.ap50 == pytest.approx(metrics.compute().ap50, abs=1e-9)
    assert result.class_agnostic_ap50 == pytest.approx(merged.compute().ap50, abs=1e-9)
    assert all(each.ap50_gain > -0.02 for each in result.costs)
