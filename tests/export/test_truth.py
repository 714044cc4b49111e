"""How much accuracy an artifact loses on a few hundred images, and what of it may be chance."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from lolvit.tasks import Task, find_task
from lolvit_data.annotated import annotated_images
from lolvit_data.annotations import AnnotatedSubset
from lolvit_export.prepare import prepare
from lolvit_export.prepared import ModelOptions
from lolvit_export.verification.truth import Annotations, Labels
from lolvit_runtimes.preprocessing import normalize, placement_of, to_pixels

TASK = find_task("classification")
IMAGES = 400


def outputs(wrong: int, first: int = 0) -> list[dict[str, np.ndarray]]:
    """Logits of two classes for images of class 0, all right but `wrong` ones from `first` on."""
    found = []
    for image in range(IMAGES):
        is_wrong = first <= image < first + wrong
        found.append({"logits": np.array([[0.0, 1.0] if is_wrong else [1.0, 0.0]], np.float32)})
    return found


@pytest.mark.parametrize(
    ("eager", "artifact", "changed"),
    [
        (outputs(40), outputs(40), 0),
        (outputs(40), outputs(44), 4),
        (outputs(40), outputs(40, first=36), 72),  # four of the wrong ones are the same
        (outputs(40), outputs(40, first=40), 80),
    ],
    ids=["the same", "four more wrong", "most others wrong", "all others wrong"],
)
def test_chance_grows_with_the_images_that_only_one_of_both_has_right(eager, artifact, changed):
    labels = Labels((0,) * IMAGES)
    found = labels.chance(TASK, eager, artifact)
    assert found == pytest.approx(100 * 1.645 * math.sqrt(changed) / IMAGES)


@pytest.mark.parametrize(("lost", "refused"), [(8, False), (12, True)])
def test_a_loss_is_refused_where_it_is_more_than_chance(lost, refused):
    labels = Labels((0,) * IMAGES)
    eager, artifact = outputs(20), outputs(20 + lost)
    change = labels.accuracy(TASK, artifact) - labels.accuracy(TASK, eager)
    assert change == pytest.approx(-100 * lost / IMAGES)
    assert (change < -1 - labels.chance(TASK, eager, artifact)) == refused


@cache
def annotated(task: str) -> tuple[Annotations, Task, list[dict[str, np.ndarray]]]:
    """The boxes or masks of 40 scenes, and what the shipped model of the task gives for them."""
    prepared = prepare("lolvit_xx", ModelOptions(weights=Path(f"lolvit_xx.digits-{task}")))
    scenes = annotated_images("digit-objects", "test", task)
    assert scenes is not None
    dataset = AnnotatedSubset(scenes, tuple(range(0, 400, 10)))
    found, placements = [], []
    for index in range(len(dataset)):
        photo = dataset.image(index)
        pixels = to_pixels(photo, prepared.preprocessing)
        with torch.no_grad():
            outputs = prepared.model(torch.from_numpy(normalize(pixels, prepared.preprocessing)))
        found.append({name: each.numpy() for name, each in outputs.items()})
        placements.append(placement_of((photo.height, photo.width), prepared.preprocessing))
    configured = find_task(task).configure(prepared.preprocessing.size, {})
    return Annotations(dataset, tuple(placements)), configured, found


def without_classes(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return an image's outputs with nothing found in it."""
    name = "scores" if "scores" in outputs else "logits"
    nothing = np.zeros_like(outputs[name])
    if name == "logits":
        nothing[:, 0] = 1  # background
    return {**outputs, name: nothing}


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_what_few_images_lose_may_be_chance_and_what_half_of_them_lose_is_not(task):
    truth, configured, eager = annotated(task)
    assert truth.chance(configured, eager, eager) == 0
    verdicts = []
    for lost in (range(1), range(0, 40, 2)):
        artifact = [
            without_classes(each) if image in lost else each for image, each in enumerate(eager)
        ]
        change = truth.accuracy(configured, artifact) - truth.accuracy(configured, eager)
        assert change < -1
        verdicts.append(change < -1 - truth.chance(configured, eager, artifact))
    assert verdicts == [False, True]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_of_few_images_nothing_is_claimed(task):
    truth, _, _ = annotated(task)
    assert truth.is_enough and not truth.first(29).is_enough
    assert Labels((0,) * 100).is_enough and not Labels((0,) * 99).is_enough


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_the_first_images_have_their_own_annotations(task):
    truth, configured, eager = annotated(task)
    part = truth.first(5)
    again = [
        part.accuracy(configured, eager[:5]),
        truth.first(30).first(5).accuracy(configured, eager[:5]),
    ]
    assert len(part.placements) == 5 and again[0] == again[1] > 0
