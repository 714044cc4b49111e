"""Average precision and intersection over union of known predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lolvit.accuracy import DetectionScore
from lolvit_data.annotated import open_annotated
from lolvit_data.annotations import Objects
from lolvit_data.detection_metrics import DetectionMetrics, save_detections
from lolvit_data.segmentation_metrics import SegmentationMetrics
from tests.data.test_coco import coco

BOXES = np.array([[10.0, 10, 50, 50], [60, 60, 90, 100]])
LABELS = np.array([0, 1])


def score(
    boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, **crowd: object
) -> DetectionScore:
    metrics = DetectionMetrics(("cat", "dog", "bird"))
    metrics.update(0, Objects.of(BOXES, LABELS, **crowd), boxes, scores, labels)
    return metrics.compute()


def test_all_found_is_1_and_classes_without_objects_do_not_count() -> None:
    found = score(BOXES, LABELS, np.array([0.9, 0.8]))
    assert [found.ap, found.ap50, found.ap75] == pytest.approx([1, 1, 1])
    assert (found.images, found.objects) == (1, 2)
    aps = [each.ap for each in found.per_class]
    assert aps[:2] == pytest.approx([1, 1]) and aps[2] is None
    assert found.ar == pytest.approx(1)


def test_precision_is_told_by_the_size_of_objects() -> None:
    """One object of 40 x 40 pixels, which is found, and one of 30 x 40, which is of medium size
    too; none is small or large."""
    found = score(BOXES[:1], LABELS[:1], np.array([0.9]))
    assert (found.ap_small, found.ap_large) == (None, None)
    assert found.ap_medium == pytest.approx(0.5) and found.ar == pytest.approx(0.5)


def test_without_sizes_all_other_metrics_are_the_same() -> None:
    scores = []
    for by_size in (True, False):
        metrics, draw = DetectionMetrics(("a", "b"), by_size=by_size), np.random.default_rng(0)
        for image in range(8):
            corners = draw.uniform(0, 80, (4, 2))
            truth = np.concatenate([corners, corners + draw.uniform(5, 120, (4, 2))], 1)
            classes = draw.integers(0, 2, 4)
            objects = Objects.of(truth, classes)
            metrics.update(
                image, objects, truth + draw.normal(0, 4, (4, 4)), draw.random(4), classes
            )
        scores.append(metrics.compute())
    with_sizes, without = scores
    assert 0.1 < without.ap < 0.9 and with_sizes.ap_small is not None
    none = {"ap_small": None, "ap_medium": None, "ap_large": None}
    assert without == with_sizes.model_copy(update=none)


def test_a_box_that_overlaps_by_two_thirds_counts_at_half_alone() -> None:
    shifted = BOXES + np.array([[8.0, 0, 8, 0], [0, 0, 0, 0]])  # IoU 32 / 48 of the first
    found = score(shifted, LABELS, np.array([0.9, 0.8]))
    assert [found.ap50, found.ap75] == pytest.approx([1, 0.5])
    assert found.per_class[0].ap == pytest.approx(0.4)


def test_wrong_classes_duplicates_and_nothing_score_as_they_should() -> None:
    assert score(BOXES, LABELS[::-1], np.array([0.9, 0.8])).ap == 0
    nothing = score(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    assert nothing.ap == 0
    doubled = score(
        np.concatenate([BOXES, BOXES]), np.tile(LABELS, 2), np.array([0.9, 0.9, 0.1, 0.1])
    )
    assert doubled.ap == pytest.approx(1)  # a duplicate below all hits costs nothing


def test_a_crowd_is_neither_missed_nor_wrongly_found() -> None:
    found = score(BOXES[:1], LABELS[:1], np.array([0.9]), crowd=[False, True])
    assert found.ap == pytest.approx(1) and found.objects == 1


def test_metrics_of_several_processes_are_those_of_one() -> None:
    parts = [DetectionMetrics(("cat", "dog")) for _ in range(2)]
    whole = DetectionMetrics(("cat", "dog"))
    for image in range(4):
        moved = BOXES + image * 3
        given = image, Objects.of(BOXES, LABELS), moved, np.array([0.9, 0.8 - image / 10]), LABELS
        parts[image % 2].update(*given)
        whole.update(*given)
    assert parts[0].merge(parts).compute() == whole.compute()


def test_results_have_cocos_own_ids(tmp_path: Path) -> None:
    dataset = open_annotated(str(coco(tmp_path / "coco")), "test", "detection")
    metrics = DetectionMetrics(dataset.classes)
    metrics.update(0, dataset.objects(0), BOXES[:1], np.array([0.5]), np.array([1]))
    save_detections(metrics, dataset, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"image_id": 7, "category_id": 90, "bbox": [10, 10, 40, 40], "score": 0.5}
    ]


def test_iou_of_known_maps() -> None:
    metrics = SegmentationMetrics(("background", "road", "sky"))
    mask = np.array([[0, 0, 1, 1], [0, 0, 1, 255]], np.uint8)
    found = np.array([[0, 0, 1, 0], [0, 255, 1, 1]], np.uint8)
    metrics.update(0, mask, found)
    result = SegmentationMetrics.from_state(metrics.classes, metrics.state()).compute()
    # background: 3 right of 4 there and 1 more found; road: 2 of 3; a pixel that the model did not
    # see is wrong, an unlabelled one does not count
    assert [each.iou for each in result.per_class] == [pytest.approx(3 / 5), pytest.approx(2 / 3),
                                                       None]  # fmt: skip
    assert result.miou == pytest.approx((3 / 5 + 2 / 3) / 2)
    assert result.miou_foreground == pytest.approx(2 / 3)
    assert result.pixel_accuracy == pytest.approx(5 / 7)
