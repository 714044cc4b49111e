"""How much accuracy an artifact loses on a few hundred images, and what of it may be chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lolvit.tasks import find_task
from lolvit_export.verification.truth import Labels

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
