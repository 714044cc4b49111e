"""Detections from a detector's outputs, against torchvision, and how two sets are compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import batched_nms, box_iou

from lolvit.boxes import decode, iou, match, points_of, suppress
from lolvit.errors import DeviceError, UserError
from lolvit.placement import Placement
from lolvit.tasks import Model
from lolvit.tasks.detection import TASK, DetectionTask
from tests.vectors import prediction_vectors

SIZE, CLASSES = (64, 96), 5
POINTS = len(points_of(SIZE, (8, 16, 32))[1])
MODEL = Model(Placement((128, 96), SIZE, SIZE), tuple("abcde"))
Outputs = dict[str, np.ndarray]


def boxes_of(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 80, (count, 2))
    return np.concatenate([corners, corners + generator.uniform(4, 40, (count, 2))], 1)


def task(**changes: object) -> DetectionTask:
    return TASK.configure(SIZE, {**TASK.postprocessing(), **changes})


def outputs_of(seed: int, objects: int = 12) -> Outputs:
    """Outputs with some clear objects over a quiet background."""
    generator = np.random.default_rng(seed)
    scores = generator.uniform(0, 0.1, (1, CLASSES, POINTS))
    for point in generator.choice(POINTS, objects, replace=False):
        scores[0, generator.integers(CLASSES), point] = generator.uniform(0.5, 1)
    return {
        "boxes": generator.uniform(0.5, 2, (1, 4, POINTS)).astype(np.float32),
        "scores": scores.astype(np.float32),
    }


def test_vectors_for_other_languages_are_what_this_one_computes() -> None:
    written = json.loads(prediction_vectors.PATH.read_text())
    assert json.loads(json.dumps(prediction_vectors.vectors())) == written
    counts = [len(case["detections"]) for case in written["detection"]]
    assert min(counts) == 0 and max(counts) > 20


def test_intersection_over_union_is_that_of_torchvision() -> None:
    first, second = boxes_of(40, 1), boxes_of(50, 2)
    expected = box_iou(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    np.testing.assert_allclose(iou(first, second), expected, rtol=1e-12, atol=1e-15)
    nothing = np.zeros((1, 4))
    assert iou(nothing, nothing) == 0


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_suppression_keeps_what_torchvision_keeps(threshold: float) -> None:
    boxes, classes = boxes_of(400), np.random.default_rng(3).integers(0, 3, 400)
    scores = torch.linspace(1, 0.1, 400, dtype=torch.float64)  # in order already
    expected = batched_nms(torch.from_numpy(boxes), scores, torch.from_numpy(classes), threshold)
    assert suppress(boxes, classes, threshold, 400).tolist() == expected.tolist()


def test_suppression_leaves_other_classes_and_keeps_an_overlap_of_the_threshold_itself() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 5]], float)
    classes = np.array([0, 1, 0])
    assert suppress(boxes, classes, 0.5, 10).tolist() == [0, 1, 2]
    assert suppress(boxes, classes, 0.49, 10).tolist() == [0, 1]
    assert suppress(boxes, classes, 0.5, 2).tolist() == [0, 1]


def test_a_point_is_a_cells_centre_and_a_distance_counts_strides() -> None:
    centres, strides = points_of((32, 64), (8, 16, 32))
    assert len(strides) == 32 + 8 + 2
    assert centres[9].tolist() == [12, 12] and strides[9] == 8
    assert centres[-1].tolist() == [48, 16] and strides[-1] == 32
    box = decode([[1, 0.5, -3, 0.5]], centres[-1:], strides[-1:])
    assert box.tolist() == [[16, 0, 48, 32]]


def test_a_detection_lies_where_the_photo_shows_it() -> None:
    outputs = {"boxes": np.zeros((1, 4, POINTS)), "scores": np.zeros((1, CLASSES, POINTS))}
    outputs["scores"][0, 2, 0] = 0.9
    outputs["boxes"][0, :, 0] = [0.25, 0.5, 1.5, 2.5]  # around (4, 4), in strides of 8
    (found,) = task().predict(outputs, MODEL, {}).objects
    assert (found.index, found.label, found.score) == (2, "c", pytest.approx(0.9))
    assert found.box == (2, 0, 16, 48)  # the photo is twice as high as the input


def test_options_replace_the_parameters_of_the_manifest() -> None:
    outputs = outputs_of(4)
    found = task().predict(outputs, MODEL, {})
    assert len(task().predict(outputs, MODEL, {"max_detections": 3}).objects) == 3
    best = found.objects[0].score
    least = task().predict(outputs, MODEL, {"score_threshold": best}).objects
    assert [each.score for each in least] == [best]
    with pytest.raises(UserError, match="iou_threshold"):
        task().predict(outputs, MODEL, {"iou_threshold": 2})


@pytest.mark.parametrize("threshold", [0.3, 0.7])  # float32 rounds one up and one down
def test_scores_in_float32_are_compared_with_the_threshold_as_in_float64(threshold: float) -> None:
    nearest = np.float32(threshold)
    for score in (
        np.nextafter(nearest, np.float32(0)),
        nearest,
        np.nextafter(nearest, np.float32(1)),
    ):
        outputs = outputs_of(0, objects=0)
        outputs["scores"][0, 1, 3] = score
        found = task(score_threshold=threshold).predict(outputs, MODEL, {}).objects
        assert len(found) == (float(score) >= threshold)


def test_a_threshold_of_0_keeps_the_most_and_one_of_1_nothing_but_certain_ones() -> None:
    outputs = outputs_of(4)
    every = task().predict(outputs, MODEL, {"score_threshold": 0, "iou_threshold": 1})
    assert len(every.objects) == task().parameters.max_detections
    assert task().predict(outputs, MODEL, {"score_threshold": 1}).objects == ()
    outputs["scores"][0, 2, 7] = 1
    (sure,) = task().predict(outputs, MODEL, {"score_threshold": 1}).objects
    assert (sure.index, sure.score) == (2, 1)


def test_thousands_of_detections_are_limited_to_the_best() -> None:
    """Every class at every point of a large input: 80 classes of 8,400 points."""
    size = (640, 640)
    large = TASK.configure(size, {**TASK.postprocessing(), "score_threshold": 0.0})
    generator = np.random.default_rng(0)
    count = len(points_of(size, (8, 16, 32))[1])
    scores = generator.uniform(0, 1, (1, 80, count)).astype(np.float32)
    outputs = {"boxes": generator.uniform(0, 4, (1, 4, count)).astype(np.float32), "scores": scores}
    found = large.decoded(outputs)
    assert len(found.scores) == 100 and found.scores.min() > 0.999
    best = np.sort(scores.ravel())[-1000:]
    assert np.isin(found.scores.astype(np.float32), best).all()


def test_outputs_that_are_not_finite_are_an_error() -> None:
    outputs = outputs_of(1)
    outputs["boxes"][0, 0, 0] = np.nan
    with pytest.raises(DeviceError, match="boxes are not finite"):
        task().predict(outputs, MODEL, {})


@pytest.mark.parametrize(
    ("boxes", "scores", "fits"),
    [
        ((1, 4, POINTS), (1, 3, POINTS), True),
        ((1, 4, POINTS + 1), (1, 3, POINTS + 1), False),
        ((1, POINTS, 4), (1, POINTS, 3), False),
        ((1, 4, POINTS), (1, 3, POINTS - 1), False),
    ],
)
def test_outputs_are_recognized_by_shape(
    boxes: tuple[int, ...], scores: tuple[int, ...], fits: bool
) -> None:
    outputs = [("boxes", boxes, "float32"), ("scores", scores, "float32")]
    assert task().recognizes(outputs) is fits


def test_boxes_are_drawn_in_the_colours_of_their_classes() -> None:
    photo = Image.new("RGB", (96, 128), "black")
    model = Model(MODEL.placement, MODEL.labels, ("#0000ff",) * 5)
    drawn = np.asarray(task().predict(outputs_of(2), model, {}).draw(photo))
    assert drawn.shape == (128, 96, 3)
    assert (drawn == (0, 0, 255)).all(2).sum() > 100
    assert not np.asarray(photo).any()  # the photo itself is not changed


@pytest.mark.parametrize("size", [(1, 1), (4000, 5000)])
def test_boxes_lie_in_a_photo_of_one_pixel_or_20_megapixels(size: tuple[int, int]) -> None:
    found = task().predict(outputs_of(2), Model(Placement(size, SIZE, SIZE)), {})
    assert found.objects
    assert all(0 <= e.box[0] < e.box[2] <= size[1] and 0 <= e.box[1] < e.box[3] <= size[0]
               for e in found.objects)  # fmt: skip
    assert found.draw(Image.new("RGB", size[::-1])).size == size[::-1]


def test_matching_is_one_to_one_and_by_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9.9]])
    zeros, ones = np.zeros(2, int), np.ones(2, int)
    assert match(boxes, zeros, boxes[:1], zeros[:1], 0.9) == [(0, 0)]
    assert match(boxes, zeros, boxes, zeros, 0.9) == [(0, 0), (1, 1)]
    assert match(boxes, zeros, boxes, ones, 0.9) == []


def references() -> list[Outputs]:
    return [outputs_of(seed) for seed in range(6)]


def test_equal_outputs_agree_and_small_noise_does_not_count() -> None:
    generator = np.random.default_rng(0)
    noisy = [
        {name: array + generator.normal(0, 1e-5, array.shape) for name, array in each.items()}
        for each in references()
    ]
    for precision in ("fp32", "fp16", "int8"):
        found = task().compare(references(), noisy, precision)
        assert found.value == 1 and found.left_out == 0


def shifted(outputs: Outputs) -> Outputs:
    return {**outputs, "boxes": outputs["boxes"] + np.array([-1, 0, 1, 0])[:, np.newaxis]}


def swapped_sides(outputs: Outputs) -> Outputs:
    return {**outputs, "boxes": outputs["boxes"][:, [1, 0, 3, 2]]}


def without_a_class(outputs: Outputs) -> Outputs:
    scores = outputs["scores"].copy()
    scores[:, 1] = 0
    return {**outputs, "scores": scores}


def other_labels(outputs: Outputs) -> Outputs:
    return {**outputs, "scores": np.roll(outputs["scores"], 1, 1)}


def silent(outputs: Outputs) -> Outputs:
    return {**outputs, "scores": np.zeros_like(outputs["scores"])}


def invented(outputs: Outputs) -> Outputs:
    scores = outputs["scores"].copy()
    scores[:, :, ::16] = 0.9
    return {**outputs, "scores": scores}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    "sabotage", [shifted, swapped_sides, without_a_class, other_labels, silent, invented]
)
def test_sabotaged_outputs_fail_a_gate(sabotage: object, precision: str) -> None:
    found = task().compare(references(), [sabotage(x) for x in references()], precision)  # type: ignore[operator]
    assert found.value is not None
    others = [metric.value < metric.threshold for metric in found.others]
    assert found.value < TASK.agreement_thresholds[precision] or any(others)


def test_no_agreement_is_claimed_of_few_objects() -> None:
    few = [outputs_of(0, objects=3)]
    assert task().compare(few, few, "fp32").value is None


def test_detections_near_the_threshold_are_left_out_up_to_a_twentieth() -> None:
    outputs = references()
    near = [dict(each, scores=each["scores"].copy()) for each in outputs]
    near[0]["scores"][0, 0, 40] = 0.301  # eager's is 0.1 at most: found here alone
    found = task().compare(outputs, near, "fp16")
    assert (found.value, found.left_out) == (1, 1)
    for each in near:
        each["scores"][0, :, 3::20] = 0.301
    found = task().compare(outputs, near, "fp16")
    assert found.value is not None and found.value < 0.95


@pytest.mark.parametrize(("score", "lost"), [(0.32, False), (0.6, True)])
def test_a_class_is_lost_with_its_firm_detections_not_with_those_near_the_threshold(
    score: float, lost: bool
) -> None:
    def with_class_1_at(value: float) -> list[Outputs]:
        found = []
        for each in references():
            scores = each["scores"].copy()
            scores[:, 1] = np.where(scores[:, 1] > 0.3, value, scores[:, 1])
            found.append({**each, "scores": scores})
        return found

    (recall,) = task().compare(with_class_1_at(score), with_class_1_at(0.29), "int8").others
    assert (recall.value < recall.threshold) == lost
