"""Quantization is judged on images that it was not calibrated with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Color, Preprocessing
from lolvit_data import objects
from lolvit_data.bundled import bundled_photo
from lolvit_data.table import open_dataset
from lolvit_export.quantization.images import Images, open_images
from lolvit_export.verification.truth import Annotations, Labels
from lolvit_runtimes.preprocessing import to_pixels

PREPROCESS = Preprocessing(size=(32, 48), crop_pct=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
DIGITS = tuple(str(digit) for digit in range(10))


def write_photos(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photo = bundled_photo("coffee")
    for number in range(first, first + count):
        crop = photo.crop((number * 7, number * 3, number * 7 + 200, number * 3 + 150))
        crop.save(folder / f"{number:03}.png")


def keys(crops: tuple[np.ndarray, ...]) -> set[bytes]:
    return {crop.tobytes() for crop in crops}


def assert_apart(images: Images) -> None:
    parts = [keys(images.calibration), keys(images.tuning), keys(images.held_out)]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_a_data_set_gives_its_own_splits() -> None:
    images = open_images("digits", PREPROCESS, DIGITS)
    assert (len(images.calibration), len(images.tuning)) == (256, 64)
    test = open_dataset("digits", "test")
    assert images.truth == Labels(tuple(test.labels))
    assert len(images.held_out) == len(test.labels)
    assert_apart(images)
    assert all(crop.shape == (32, 48, 3) for crop in images.calibration)


def test_labels_of_other_classes_are_not_used() -> None:
    assert open_images("digits", PREPROCESS, ("cat", "dog")).truth is None
    assert open_images("digits", PREPROCESS, None).truth is None


def test_bundled_photos_are_many_crops_of_photos_that_do_not_verify() -> None:
    images = open_images(None, PREPROCESS, None)
    assert len(images.calibration) == 128 and len(images.tuning) == 32
    assert images.truth is None and images.source is None
    assert_apart(images)


@pytest.mark.parametrize(("color", "channels"), [("L", 1), ("RGBA", 4)])
def test_images_have_the_channels_of_the_model(tmp_path: Path, color: Color, channels: int) -> None:
    write_photos(tmp_path, 12)
    preprocessing = Preprocessing(
        size=(32, 48), crop_pct=1.0, mean=(0.5,) * channels, std=(0.5,) * channels, color=color
    )
    for source in (None, str(tmp_path), "digits"):
        images = open_images(source, preprocessing, None)
        crops = (*images.calibration, *images.tuning, *images.held_out)
        assert {crop.shape for crop in crops} == {(32, 48, channels)}


def write_noise(folder: Path, count: int, step: int) -> None:
    """Write photos whose mean of the red channel tells their number: 4 + number * step."""
    noise = np.random.default_rng(0)
    for number in range(count):
        photo = noise.integers(0, 9, (90, 120, 3)) + np.array([number * step, 0, 0])
        Image.fromarray(photo.astype(np.uint8)).save(folder / f"{number:03}.png")


def test_a_folder_of_photos_is_split(tmp_path: Path) -> None:
    write_noise(tmp_path, 260, 0)
    images = open_images(str(tmp_path), PREPROCESS, DIGITS)
    parts = images.calibration, images.tuning, images.held_out
    assert [len(part) for part in parts] == [167, 41, 52]
    assert images.truth is None
    assert_apart(images)


def test_few_photos_give_more_crops_and_a_photo_is_in_one_part_alone(tmp_path: Path) -> None:
    write_noise(tmp_path, 12, 20)
    images = open_images(str(tmp_path), PREPROCESS, None)
    parts = images.calibration, images.tuning, images.held_out
    assert [len(part) for part in parts] == [64, 40, 40]
    shown = [{round((float(crop[..., 0].mean()) - 4) / 20) for crop in part} for part in parts]
    assert shown == [{0, 1, 2, 3, 6, 7, 8, 10}, {5, 11}, {4, 9}]
    again = open_images(str(tmp_path), PREPROCESS, None)
    assert [keys(part) for part in parts] == [
        keys(part) for part in (again.calibration, again.tuning, again.held_out)
    ]
    assert_apart(images)


@pytest.mark.parametrize(("count", "line"), [(0, "has 0 images"), (1, "has 1 image in it")])
def test_too_few_photos_are_one_line(tmp_path: Path, count: int, line: str) -> None:
    write_photos(tmp_path / "few", count)
    with pytest.raises(UserError, match=f"{line}.*calibrate on at least 10"):
        open_images(str(tmp_path / "few"), PREPROCESS, None)


def test_what_is_no_photo_is_left_out_and_reported(tmp_path: Path) -> None:
    write_photos(tmp_path, 15)
    (tmp_path / "README.txt").write_text("holiday")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / ".DS_Store").write_bytes(b"Bud1")
    (tmp_path / "011.png").write_bytes((tmp_path / "011.png").read_bytes()[:5000])
    steps: list[str] = []
    open_images(str(tmp_path), PREPROCESS, None, steps.append)
    assert steps == [
        f"{tmp_path}: 4 files left out: 2 hidden or of the operating system (.DS_Store, "
        "Thumbs.db), 1 not a photo (README.txt), 1 that can't be decoded (011.png)"
    ]


def test_photos_in_folders_by_day_are_found_and_hidden_copies_are_not(tmp_path: Path) -> None:
    write_photos(tmp_path / "monday", 9)
    write_photos(tmp_path / "monday" / ".ipynb_checkpoints", 3)
    write_photos(tmp_path / "@eaDir", 3)
    with pytest.raises(UserError, match="has 9 images in it"):
        open_images(str(tmp_path), PREPROCESS, None)


def test_class_folders_without_splits_give_labels_of_the_images_held_out(tmp_path: Path) -> None:
    write_photos(tmp_path / "cats", 20)
    write_photos(tmp_path / "dogs", 20, first=20)
    steps: list[str] = []
    images = open_images(str(tmp_path), PREPROCESS, ("cats", "dogs"), steps.append)
    assert images.truth == Labels((0,) * 4 + (1,) * 4)
    assert len(images.calibration) + len(images.tuning) == 32
    assert "8 of 40 images, every fifth of each class, are held out" in steps[0]


def test_photos_that_cannot_be_decoded_do_not_count(tmp_path: Path) -> None:
    write_photos(tmp_path, 12)
    for number in range(6):
        path = tmp_path / f"{number:03}.png"
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="has 6 images in it; calibrate on at least 10"):
        open_images(str(tmp_path), PREPROCESS, None)


def test_black_photos_are_refused(tmp_path: Path) -> None:
    for number in range(20):
        Image.new("RGB", (100, 100)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=r"20 of the 20 images in it are of one colour"):
        open_images(str(tmp_path), PREPROCESS, None)


def test_copies_of_a_few_photos_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path, 4)
    for number in range(4, 24):
        (tmp_path / f"{number:03}.png").write_bytes((tmp_path / f"00{number % 4}.png").read_bytes())
    with pytest.raises(UserError, match="has 4 different images in it, the others are copies"):
        open_images(str(tmp_path), PREPROCESS, None)


def test_images_of_one_class_are_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_photos(tmp_path / split / "cats", 12)
        (tmp_path / split / "dogs").mkdir(parents=True)
    write_photos(tmp_path / "test" / "dogs", 1)
    with pytest.raises(UserError):
        open_images(str(tmp_path), PREPROCESS, None)


def test_copies_of_one_test_image_are_refused(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        write_photos(tmp_path / "train" / name, 12)
        (tmp_path / "test" / name).mkdir(parents=True)
        for number in range(8):
            copy = tmp_path / "test" / name / f"{number}.png"
            copy.write_bytes((tmp_path / "train" / name / "000.png").read_bytes())
    with pytest.raises(UserError, match="has 1 different images to verify with, the others are"):
        open_images(str(tmp_path), PREPROCESS, None)


def test_a_place_that_is_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        open_images(str(tmp_path / "nowhere"), PREPROCESS, None)


def test_a_small_data_set_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("one", "two"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "a.png")
    with pytest.raises(UserError, match="has 2 images training"):
        open_images(str(tmp_path), PREPROCESS, None)


def test_boxes_or_masks_are_known_of_a_model_of_the_task_and_classes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "COUNTS", {"train": 30, "test": 12})
    for task, classes in (("detection", DIGITS), ("segmentation", ("background", *DIGITS))):
        images = open_images("digit-objects", PREPROCESS, classes, task=task)
        for truth, crops in ((images.truth, images.held_out), (images.tuning_truth, images.tuning)):
            assert isinstance(truth, Annotations)
            assert len(truth.placements) == len(crops) and truth.dataset.task == task
            pixels = to_pixels(truth.dataset.image(1), PREPROCESS)
            assert pixels.tobytes() == crops[1].tobytes()
        for other in (
            open_images("digit-objects", PREPROCESS, ("cat", "dog"), task=task),
            open_images("digit-objects", PREPROCESS, classes),
        ):
            assert other.truth is None and other.tuning_truth is None
