"""The images that float artifacts are verified on: the bundled photos and, of a detector or a
segmentation model, test images of the data set that its checkpoint records. Without these a
detector finds hardly an object in the photos, and a map is background all over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models.dense import DENSE_TASKS
from lolvit_data.annotated import annotated_images
from lolvit_data.annotations import IGNORE, AnnotatedDataset, spread
from lolvit_data.table import source_name
from lolvit_export.photos import VERIFICATION, verification_pixels
from lolvit_runtimes.preprocessing import Pixels, to_pixels

TEST_IMAGES = 8  # of the data set
_CONSIDERED = 64  # of which they are chosen: reading masks takes time


@dataclass(frozen=True)
class VerificationImages:
    """Images (H, W, channels) in uint8 as the model's preprocessing makes them; `described` says
    what they are, and `note` is to be printed: which data set the images are of, or why its
    images are missing; None for the photos of a model that needs no others."""

    pixels: tuple[Pixels, ...]
    described: str
    note: str | None = None


def verification_images(
    preprocessing: Preprocessing, task: str | None, data: str | None
) -> VerificationImages:
    """Return the images for a model of `task`, whose checkpoint records that it was trained on
    `data`; None: it records nothing."""
    photos = tuple(verification_pixels(preprocessing))
    described = f"{len(VERIFICATION)} photos"
    if task not in DENSE_TASKS or data is None:
        return VerificationImages(photos, described)
    name = source_name(data)
    try:
        dataset = annotated_images(data, "test", task)
        chosen = [] if dataset is None else _with_all_classes(dataset)
        images = [dataset.image(index, preprocessing.color) for index in chosen] if dataset else []
    except (UserError, ModuleNotFoundError) as error:
        reason = error.line() if isinstance(error, UserError) else str(error)
        note = f"verified on the {described} alone, not on test images of {name}: {reason}"
        return VerificationImages(photos, described, note)
    if not images:
        note = f"verified on the {described} alone: there are no test images of {name} here"
        return VerificationImages(photos, described, note)
    described = f"{described} and {len(images)} test images of {name}"
    pixels = (*photos, *(to_pixels(image, preprocessing) for image in images))
    return VerificationImages(pixels, described, f"verified on {described}")


def _with_all_classes(dataset: AnnotatedDataset) -> list[int]:
    """Return the indices of `TEST_IMAGES` images at most, of the first of a split's evenly spread
    ones: those with most of the classes that the ones before them have least of."""
    left = spread(len(dataset), _CONSIDERED)
    classes = {index: _classes(dataset, index) for index in left}
    chosen: list[int] = []
    counts: Counter[int] = Counter()
    while left and len(chosen) < TEST_IMAGES:
        best = max(left, key=lambda index: sum(0.5 ** counts[each] for each in classes[index]))
        left.remove(best)
        chosen.append(best)
        counts.update(classes[best])
    return chosen


def _classes(dataset: AnnotatedDataset, index: int) -> Sequence[int]:
    """Return the class of each object of an image, or each class of its mask."""
    if dataset.task == "detection":
        found: Sequence[int] = dataset.objects(index).classes.tolist()
        return found
    return [int(each) for each in np.unique(dataset.mask(index)) if each != IGNORE]
