"""Which points an object takes, and what the loss rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lolvit.boxes import decode as decode_on_host
from lolvit.boxes import points_of
from lolvit_training.detection_loss import TOP_POINTS, DetectionLoss, assign, decode

SIZE, CLASSES = (64, 64), 3
CENTRES, STRIDES = (torch.from_numpy(each).float() for each in points_of(SIZE, (8, 16, 32)))
IMAGES = torch.zeros(1, 3, *SIZE)
LOSS = DetectionLoss((8, 16, 32))


def target(*rows: tuple[float, ...]) -> Tensor:
    """Class, box and crowd of each object; one more row is no object."""
    return torch.tensor([[*rows, (-1.0,) * 6]])


def perfect(targets: Tensor) -> dict[str, Tensor]:
    """Outputs whose points inside a box find that box and its class."""
    boxes = torch.zeros(1, len(CENTRES), 4)
    logits = torch.full((1, len(CENTRES), CLASSES), -8.0)
    for label, left, top, right, bottom, crowd in targets[0].tolist():
        if label < 0 or crowd:
            continue
        sides = torch.stack(
            [CENTRES[:, 0] - left, CENTRES[:, 1] - top, right - CENTRES[:, 0],
             bottom - CENTRES[:, 1]], 1
        )  # fmt: skip
        inside = (sides > 0).all(1)
        boxes[0, inside] = (sides / STRIDES[:, None])[inside]
        logits[0, inside, int(label)] = 8.0
    return {"boxes": boxes.transpose(1, 2), "logits": logits.transpose(1, 2)}


OBJECTS = target((1, 8, 8, 32, 32, 0), (2, 44, 44, 60, 62, 0))


def test_decoding_is_that_of_the_host() -> None:
    distances = torch.rand(1, len(CENTRES), 4) * 3
    expected = decode_on_host(distances[0].numpy(), CENTRES.numpy(), STRIDES.numpy())
    np.testing.assert_allclose(decode(distances, CENTRES, STRIDES)[0].numpy(), expected, rtol=1e-5)


def test_an_object_takes_the_points_inside_it_and_no_more_than_its_share() -> None:
    outputs = perfect(OBJECTS)
    boxes = decode(outputs["boxes"].transpose(1, 2), CENTRES, STRIDES)
    found = assign(outputs["logits"].transpose(1, 2).sigmoid(), boxes, CENTRES, OBJECTS)
    taken = found.weights[0] > 0
    assert 2 <= int(taken.sum()) <= 2 * TOP_POINTS
    inside = ((OBJECTS[0, :2, None, 1:3] < CENTRES) & (OBJECTS[0, :2, None, 3:5] > CENTRES)).all(2)
    assert not bool((taken & ~inside.any(0)).any())
    torch.testing.assert_close(found.scores[0].amax(0), torch.tensor([0.0, 1.0, 1.0]))


def test_a_point_in_two_objects_belongs_to_the_one_that_its_box_overlaps_more() -> None:
    nested = target((0, 0, 0, 64, 64, 0), (1, 16, 16, 48, 48, 0))
    boxes = torch.zeros(1, len(CENTRES), 4)
    boxes[0] = torch.tensor([16.0, 16, 48, 48])
    scores = torch.full((1, len(CENTRES), CLASSES), 0.5)
    found = assign(scores, boxes, CENTRES, nested)
    owned = found.scores[0].argmax(1)[found.weights[0] > 0]
    inner = ((CENTRES > 16) & (CENTRES < 48)).all(1)[found.weights[0] > 0]
    assert bool((owned[inner] == 1).all())


def test_an_object_smaller_than_a_cell_takes_the_nearest_point() -> None:
    small = target((0, 1, 1, 3, 3, 0))
    boxes = torch.zeros(1, len(CENTRES), 4)
    boxes[0] = torch.tensor([1.0, 1, 3, 3])
    found = assign(torch.full((1, len(CENTRES), CLASSES), 0.5), boxes, CENTRES, small)
    assert int((found.weights > 0).sum()) == 1


def test_the_loss_is_lowest_for_the_right_boxes_and_classes() -> None:
    best = float(LOSS(IMAGES, perfect(OBJECTS), OBJECTS))
    shifted = perfect(OBJECTS)
    shifted["boxes"] = (shifted["boxes"] + torch.tensor([[-0.5], [0], [0.5], [0]])).clamp(min=0)
    other = perfect(OBJECTS)
    other["logits"] = other["logits"].roll(1, 1)
    assert best < 0.3
    assert best < float(LOSS(IMAGES, shifted, OBJECTS))
    assert best + 1 < float(LOSS(IMAGES, other, OBJECTS))


def test_a_crowd_is_neither_object_nor_background() -> None:
    outputs = perfect(OBJECTS)
    crowd = OBJECTS.clone()
    crowd[0, :, 5] = torch.tensor([1.0, 0, -1])
    gone = OBJECTS.clone()
    gone[0, 0, 0] = -1
    # The first object was found: as a crowd that is no mistake, as background it is one.
    assert float(LOSS(IMAGES, outputs, crowd)) < 0.5 < float(LOSS(IMAGES, outputs, gone))


@pytest.mark.parametrize("rows", [(), ((0, 8, 8, 24, 24, 1),)])
def test_images_without_an_object_have_a_finite_loss_and_gradient(
    rows: tuple[tuple[float, ...], ...],
) -> None:
    outputs = {
        "boxes": torch.rand(1, 4, len(CENTRES), requires_grad=True),
        "logits": torch.randn(1, CLASSES, len(CENTRES), requires_grad=True),
    }
    loss = LOSS(IMAGES, outputs, target(*rows))
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert bool(torch.isfinite(outputs["logits"].grad).all())  # type: ignore[arg-type]
