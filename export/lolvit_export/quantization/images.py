"""The images that quantization is decided on: some to calibrate ranges with, others, never the
same, to evaluate the result on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit_data.annotated import annotated_images
from lolvit_data.annotations import AnnotatedDataset, AnnotatedSubset, spread
from lolvit_data.dataset import Dataset, even_share
from lolvit_data.table import open_dataset
from lolvit_export.photos import (
    CALIBRATION,
    VERIFICATION,
    bundled_crops,
    increase_contrast,
    photo_folder,
    random_crops,
)
from lolvit_export.verification.truth import Annotations, Labels, Truth
from lolvit_runtimes.photo_files import PhotoFiles, left_out_note
from lolvit_runtimes.photos import load_photo
from lolvit_runtimes.preprocessing import Pixels, placement_of, to_pixels

CALIBRATION_COUNT, TUNING_COUNT, HELD_OUT_COUNT = 256, 64, 512
# Of data with boxes or masks: average precision says something of many images alone.
ANNOTATED_TUNING_COUNT = 128
LEAST = 10  # images in all: with fewer, ranges are a matter of luck
LEAST_DIFFERENT = 8
_FLAT = 4  # grey levels between an image's darkest and brightest value: it is of one colour
_BROKEN = "that can't be decoded"
_CROPS = 10  # of each bundled photo
# Of a folder of few photos, crops of the same photos are added until so many images calibrate,
# tune and are held out: of four images, one that differs is 25 percentage points.
_ENOUGH_TO_CALIBRATE, _ENOUGH_TO_COMPARE = 64, 40
# Of a folder without splits, every so many-th image is held out, and of the rest tunes.
_EVERY = 5
_EVERY_ANNOTATED = 3


@dataclass(frozen=True)
class Images:
    """Crops (H, W, 3) in uint8 as a model's preprocessing makes them.

    `calibration` fits ranges (64 to 512 images of the training split), `tuning` (of the training
    split too) decides what stays in float, `held_out` (of the test split) is what the gates are
    measured on. `truth` is what is known of `held_out`, `tuning_truth` of `tuning`; None: nothing.
    """

    source: str | None  # None: the bundled photos
    calibration: tuple[Pixels, ...]
    tuning: tuple[Pixels, ...]
    held_out: tuple[Pixels, ...]
    truth: Truth | None = None
    tuning_truth: Truth | None = None


def evenly(images: Sequence[Pixels], most: int) -> Sequence[Pixels]:
    """Return as many images as `most` at most, evenly of all."""
    return images[:: max(1, len(images) // most)][:most]


def open_images(
    source: str | None,
    preprocessing: Preprocessing,
    classes: Sequence[str] | None,
    say: Callable[[str], None] = lambda line: None,
    *,
    task: str | None = None,
) -> Images:
    """Return the images of a data set (`lolvit_data.table.open_dataset`, or of one with boxes or
    masks), of a folder of photos without labels, or, if `source` is None, crops of the bundled
    photos.

    `classes` are the model's own, in order: of a data set of other classes, or for another task,
    only the images are used.
    What a folder holds beside photos, and photos that can't be decoded, are left out, and `say` is
    called with their number.

    Raises:
        UserError: there is no such data set, there are fewer than ten images, or they show nothing
            of what activations are like: of one colour each, the same few ones, or of one class.
    """
    if source is None:
        return _bundled(preprocessing)
    if (train_set := annotated_images(source, "train", task)) is not None:
        test_set = annotated_images(source, "test", task)
        assert test_set is not None
        known = task == train_set.task and tuple(classes or ()) == tuple(train_set.classes)
        images = _annotated(source, train_set, test_set, preprocessing, known, say)
        return _informative(images)
    folder = photo_folder(source)
    if folder is not None:
        return _unlabelled(source, folder, preprocessing, say)
    return _informative(_labelled(source, preprocessing, classes, say))


def _labelled(
    source: str,
    preprocessing: Preprocessing,
    classes: Sequence[str] | None,
    say: Callable[[str], None],
) -> Images:
    """Return images of a data set with classes, evenly over these, with their labels if the classes
    are the model's."""
    train, test = open_dataset(source, "train"), open_dataset(source, "test")
    for note in dict.fromkeys((*train.notes, *test.notes)):
        say(note)
    known = classes is not None and tuple(classes) == tuple(train.classes) == tuple(test.classes)
    share = even_share(train.labels, CALIBRATION_COUNT + TUNING_COUNT)
    tuning = _every(share, _EVERY)[:TUNING_COUNT]
    calibration = sorted(set(share) - set(tuning))[:CALIBRATION_COUNT]
    _require(source, "training", len(share))
    held_out = even_share(test.labels, HELD_OUT_COUNT)
    _refuse_one_class(source, "training", train, calibration)
    _refuse_one_class(source, "test", test, held_out)
    return Images(
        source=source,
        calibration=_crops(train, calibration, preprocessing),
        tuning=_crops(train, tuning, preprocessing),
        held_out=_crops(test, held_out, preprocessing),
        truth=Labels(tuple(test.labels[i] for i in held_out)) if known else None,
    )


def _annotated(
    source: str,
    train: AnnotatedDataset,
    test: AnnotatedDataset,
    preprocessing: Preprocessing,
    known: bool,
    say: Callable[[str], None],
) -> Images:
    """Return images of a data set with boxes or masks, evenly spread, with these if they are of the
    model's classes (`known`)."""
    for note in dict.fromkeys((*train.notes, *test.notes)):
        say(note)
    share = spread(len(train), CALIBRATION_COUNT + ANNOTATED_TUNING_COUNT)
    _require(source, "training", len(share))
    tuning = _every(share, _EVERY_ANNOTATED)[:ANNOTATED_TUNING_COUNT]
    calibration = sorted(set(share) - set(tuning))[:CALIBRATION_COUNT]
    tuning_pixels, tuning_truth = _with_annotations(train, tuning, preprocessing)
    held_out = spread(len(test), HELD_OUT_COUNT)
    held_out_pixels, truth = _with_annotations(test, held_out, preprocessing)
    return Images(
        source=source,
        calibration=_crops(train, calibration, preprocessing),
        tuning=tuning_pixels,
        held_out=held_out_pixels,
        truth=truth if known else None,
        tuning_truth=tuning_truth if known else None,
    )


def _with_annotations(
    dataset: AnnotatedDataset, indices: Sequence[int], preprocessing: Preprocessing
) -> tuple[tuple[Pixels, ...], Annotations]:
    crops, placements = [], []
    for photo in (dataset.image(index, preprocessing.color) for index in indices):
        crops.append(to_pixels(photo, preprocessing))
        placements.append(placement_of((photo.height, photo.width), preprocessing))
    return tuple(crops), Annotations(AnnotatedSubset(dataset, tuple(indices)), tuple(placements))


def _refuse_one_class(source: str, split: str, images: Dataset, indices: Sequence[int]) -> None:
    seen = {images.labels[i] for i in indices}
    if len(seen) == 1 and len(images.classes) > 1:
        raise UserError(
            f"has {split} images of one class alone, '{images.classes[seen.pop()]}', of"
            f" {len(images.classes)}",
            where=source,
            remedy="calibrate and verify on images of all classes",
        )


def _informative(images: Images) -> Images:
    """Return the images, once they are known to show what activations are like.

    Raises:
        UserError: of those to calibrate or to verify with, most are of one colour each, or fewer
            than eight are different.
    """
    source = str(images.source)
    fitted = *images.calibration, *images.tuning
    for which, crops in (("to calibrate with", fitted), ("to verify with", images.held_out)):
        _refuse_plain(source, which, crops)
        _require_different(source, which, crops)
    return images


def _refuse_plain(source: str, which: str, images: Sequence[Pixels]) -> None:
    plain = sum(int(image.max()) - int(image.min()) <= _FLAT for image in images)
    if 2 * plain > len(images):
        raise UserError(
            f"{plain} of the {len(images)} images {which} are of one colour: they show nothing of"
            " what a model computes on photos",
            where=source,
            remedy="give photos like those that the model is used on",
        )


def _require_different(source: str, which: str, images: Sequence[Pixels]) -> None:
    different = len({image.tobytes() for image in images})
    if different < LEAST_DIFFERENT:
        copies = ", the others are copies" if len(images) > different else ""
        raise UserError(
            f"has {different} different images {which}{copies}",
            where=source,
            remedy=f"give at least {LEAST_DIFFERENT}, better {CALIBRATION_COUNT}",
        )


def _every(indices: Sequence[int], step: int) -> list[int]:
    return [index for place, index in enumerate(indices) if place % step == step - 1]


def _crops(
    dataset: Dataset | AnnotatedDataset, indices: Sequence[int], preprocessing: Preprocessing
) -> tuple[Pixels, ...]:
    color = preprocessing.color
    return tuple(to_pixels(dataset.image(i, color), preprocessing) for i in indices)


def _unlabelled(
    source: str, folder: PhotoFiles, preprocessing: Preprocessing, say: Callable[[str], None]
) -> Images:
    """Split a folder: of each five photos one is held out; of each five others one tunes. Where
    there are few, more crops of the same photos are added to each part.

    Raises:
        UserError: there are too few photos, or they show nothing.
    """
    most = CALIBRATION_COUNT + TUNING_COUNT + HELD_OUT_COUNT
    crops: dict[Path, Pixels] = {}
    broken: list[Path] = []
    for path in folder.photos:
        if len(crops) == most:
            break
        try:
            crops[path] = to_pixels(load_photo(path, preprocessing.color), preprocessing)
        except UserError:
            broken.append(path)
    left_out = folder.left_out | ({_BROKEN: tuple(broken)} if broken else {})
    if (note := left_out_note(source, left_out)) is not None:
        say(note)
    _require(source, "in it", len(crops))
    _refuse_plain(source, "in it", list(crops.values()))
    _require_different(source, "in it", list(crops.values()))  # crops of one photo would differ
    paths = list(crops)
    held_out = [paths[i] for i in _every(range(len(paths)), _EVERY)]
    others = [path for path in paths if path not in set(held_out)]
    tuning = [others[i] for i in _every(range(len(others)), _EVERY)][:TUNING_COUNT]
    calibration = [path for path in others if path not in set(tuning)][:CALIBRATION_COUNT]
    held_out = held_out[:HELD_OUT_COUNT]
    images = Images(
        source=source,
        calibration=tuple(crops[path] for path in calibration),
        tuning=tuple(crops[path] for path in tuning),
        held_out=tuple(crops[path] for path in held_out),
    )
    return _informative(
        replace(
            images,
            calibration=_with_crops(calibration, crops, _ENOUGH_TO_CALIBRATE, preprocessing),
            tuning=_with_crops(tuning, crops, _ENOUGH_TO_COMPARE, preprocessing),
            held_out=_with_crops(held_out, crops, _ENOUGH_TO_COMPARE, preprocessing),
        )
    )


def _with_crops(
    paths: Sequence[Path], whole: Mapping[Path, Pixels], enough: int, preprocessing: Preprocessing
) -> tuple[Pixels, ...]:
    """Return the images of these photos, and random crops of them where the images are fewer than
    enough; the first N of the crops are of as many photos as there are."""
    images = [whole[path] for path in paths]
    count = math.ceil((enough - len(images)) / len(images))
    if count <= 0:
        return tuple(images)
    color = preprocessing.color
    by_photo = [
        random_crops(load_photo(path, color), count, preprocessing, seed=path.name)
        for path in paths
    ]
    images += [crop for crops in zip(*by_photo, strict=True) for crop in crops]
    return tuple(images[:enough])


def _bundled(preprocessing: Preprocessing) -> Images:
    """Split crops of the bundled photos by photo. Those to fit ranges with, most of them textures,
    come with stronger contrasts too: without, LOLViT-X of random weights clips what other photos
    give, and its int8 and w8a16 artifacts for HTP agree with eager to 12 dB instead of 23 and 29.
    """
    crops = [crop for name in CALIBRATION for crop in bundled_crops(name, _CROPS, preprocessing)]
    fitted = [each for crop in crops for each in (crop, increase_contrast(crop))]
    tuning = _every(range(len(fitted)), _EVERY)
    by_photo = [bundled_crops(name, _CROPS, preprocessing) for name in VERIFICATION]
    return Images(
        source=None,
        calibration=tuple(crop for i, crop in enumerate(fitted) if i not in set(tuning)),
        tuning=tuple(fitted[i] for i in tuning),
        # the first N, all that an emulated runtime sees, are of as many photos as there are
        held_out=tuple(crop for crops in zip(*by_photo, strict=True) for crop in crops),
    )


def _require(source: str, which: str, count: int) -> None:
    if count < LEAST:
        raise UserError(
            f"has {count} {'image' if count == 1 else 'images'} {which}",
            where=source,
            remedy=f"calibrate on at least {LEAST}, better on {CALIBRATION_COUNT}",
        )
