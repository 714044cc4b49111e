"""Crops of photos: no photo is in both splits, and a teacher's outputs fit the photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit_data import photo_crops, teacher_outputs
from lolvit_data.bundled import bundled_photo
from lolvit_data.dataset import limited
from lolvit_data.table import is_dataset, open_dataset, recorded_source
from lolvit_data.teacher_outputs import Crops, TaughtImages, TeacherDescription

CLASSES = 7


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_crops, "COUNTS", {"train": 10, "test": 6})
    monkeypatch.setattr(photo_crops, "MOST_TEST_PHOTOS", 15)
    monkeypatch.setattr(teacher_outputs, "PART", 4)


@pytest.fixture
def wallpapers(tmp_path: Path) -> Path:
    """Photos as packages of wallpapers have them."""
    root = tmp_path / "wallpapers"
    names = ["a.jpg", "b-l.jpg", "b-d.jpg", "c.jpg", "c_320x240.jpg", "d.jpg", "README.txt"]
    names += ["Hill/contents/screenshot.png"]
    names += [f"Hill/contents/{kind}/{size}.png" for kind in ("images", "images_dark")
              for size in ("1080x1920", "320x240")]  # fmt: skip
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("CC0")
        else:
            bundled_photo("coffee").resize((200 + number, 100)).save(path)
    return root


def test_splits_share_no_photo_and_sizes_of_one_photo_are_one(wallpapers: Path) -> None:
    source = f"photo-crops:{wallpapers}"
    train, test = photo_crops.load(source, "train"), photo_crops.load(source, "test")
    names = [{photo.name for photo in crops.photos} for crops in (train, test)]
    assert not names[0] & names[1]
    below = {photo.name for crops in (train, test) for photo in crops.photos if photo.path}
    assert below == {"a", "b", "c", "d", "hill"}
    (note,) = train.notes
    assert "7 files left out" in note and "6 other sizes or variants of a photo" in note
    assert (train.count, test.count) == (16_000, 2_000)


def test_of_more_photos_than_crops_some_of_every_folder_are_taken(
    few: None, tmp_path: Path
) -> None:
    for kind in ("cats", "dogs", "fish"):
        for number in range(30):
            path = tmp_path / kind / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8)).save(path)
    for split in ("train", "test"):
        crops = photo_crops.load(f"photo-crops:{tmp_path}", split)
        assert len(crops.photos) == crops.count == {"train": 10, "test": 15}[split]
        kinds = {photo.name.split("/")[0] for photo in crops.photos if photo.path}
        assert kinds == {"cats", "dogs", "fish"}


def test_an_outputs_folder_of_fewer_test_crops_than_there_are_photos_now_is_opened(
    few: None, tmp_path: Path
) -> None:
    for number in range(60):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number:02}.png")
    source = f"photo-crops:{tmp_path}"
    assert photo_crops.load(source, "test").count == 15
    six = photo_crops.load(source, "test", 6)
    assert six.count == len(six.photos) == 6


def test_a_crop_is_a_square_part_of_its_photo_and_the_same_every_time() -> None:
    crops, again = photo_crops.load("photo-crops", "test"), photo_crops.load("photo-crops", "test")
    for index in range(9):
        image = crops.image(index)
        photo = photo_crops._reduced(crops.photos[index % len(crops.photos)])
        assert max(photo.size) <= 640
        assert image.width == image.height >= 0.29 * min(photo.size)
        assert image.tobytes() == again.image(index).tobytes()
    assert crops.image(0).tobytes() != crops.image(len(crops.photos)).tobytes()


def test_a_photo_that_is_no_photo_is_one_line_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff" * 9)
    crops = photo_crops.load(f"photo-crops:{tmp_path}", "train")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        crops.image(len(crops.photos) - 1)


@pytest.mark.parametrize(("folder", "words"), [("absent", "no such folder"), ("", "has no photos")])
def test_a_folder_without_photos_is_one_line(tmp_path: Path, folder: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        photo_crops.load(f"photo-crops:{tmp_path / folder}", "train")


def test_alone_it_has_no_classes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no classes of its own; .*--teacher"):
        open_dataset("photo-crops", "train")
    monkeypatch.chdir(tmp_path)
    assert recorded_source("photo-crops:photos") == f"photo-crops:{tmp_path / 'photos'}"


def stored(root: Path, source: str = "photo-crops") -> np.ndarray:
    """Write random outputs, and return those of the test split."""
    crops = {split: photo_crops.load(source, split) for split in ("train", "test")}
    description = TeacherDescription(
        teacher="teacher", weights_sha256="0" * 64,
        preprocessing=Preprocessing(size=(32, 32), crop_pct=1, mean=(0,) * 3, std=(1,) * 3),
        classes=tuple("abcdefg"), source=source, train=Crops.of(crops["train"]),
        test=Crops.of(crops["test"]),
    )  # fmt: skip
    root.mkdir()
    (root / teacher_outputs.DESCRIPTION).write_text(description.model_dump_json())
    outputs = np.random.default_rng(0).normal(size=(10, CLASSES)).astype(np.float16)
    for split, images in crops.items():
        for number in range(teacher_outputs.number_of_parts(images.count)):
            part = outputs[list(teacher_outputs.indices_of_part(number, images.count))]
            np.save(teacher_outputs.part_path(root, split, number), part)
    return outputs[:6]


def test_stored_outputs_are_a_data_set_whose_classes_are_the_teachers_highest(
    few: None, tmp_path: Path
) -> None:
    outputs = stored(tmp_path / "s")
    assert is_dataset(str(tmp_path / "s"))
    dataset = open_dataset(str(tmp_path / "s"), "test")
    assert isinstance(dataset, TaughtImages)
    assert list(dataset.labels) == outputs.argmax(1).tolist()
    assert np.array_equal(dataset.outputs_of([5, 2]), outputs[[5, 2]].astype(np.float32))
    part = limited(dataset, 3)
    assert isinstance(part, TaughtImages) and len(part.labels) == 3
    for index, number in enumerate(part.numbers):
        assert part.labels[index] == dataset.labels[number]
        assert part.outputs_of([index]).tolist() == dataset.outputs_of([number]).tolist()
        assert part.image(index).tobytes() == dataset.image(number).tobytes()
    assert dataset.image(4).tobytes() == photo_crops.load("photo-crops", "test").image(4).tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read"),
        (b"", "can't be read"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f2', 'fortran_order': False, 'shape': (4, 7), }",
         "can't be read"),
        (b"\x80\x04\x95\x10\x00\x00\x00.", "can't be read"),
        (np.zeros((4, 7), np.float32), "no array of half precision"),
        (np.zeros((4, 6), np.float16), "no array of half precision"),
        (np.full((4, 7), np.nan, np.float16), "not finite"),
    ],
)  # fmt: skip
def test_a_damaged_file_of_outputs_is_one_line(
    few: None, tmp_path: Path, content: bytes | np.ndarray | None, words: str
) -> None:
    stored(tmp_path / "s")
    path = teacher_outputs.part_path(tmp_path / "s", "test", 0)
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(UserError, match=rf"test-0000\.npy: .*{words}"):
        open_dataset(str(tmp_path / "s"), "test")


def test_a_damaged_description_is_one_line(few: None, tmp_path: Path) -> None:
    stored(tmp_path / "s")
    path = tmp_path / "s" / teacher_outputs.DESCRIPTION
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"classes": ["one"]}))
    with pytest.raises(UserError, match="field 'classes'"):
        open_dataset(str(tmp_path / "s"), "test")


def test_outputs_on_photos_that_have_changed_are_refused(
    few: None, wallpapers: Path, tmp_path: Path
) -> None:
    source = f"photo-crops:{wallpapers}"
    stored(tmp_path / "s", source)
    Image.new("RGB", (90, 90)).save(wallpapers / "zoo.png")
    with pytest.raises(UserError, match="on other photos than photo-crops:"):
        open_dataset(str(tmp_path / "s"), "train")
