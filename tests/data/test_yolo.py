"""The layout of YOLO's trainers: a YAML file, images, and a text file of each image's objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.annotated import annotated_images, open_annotated
from lolvit_data.yolo import YoloDataset, configuration

DOCUMENT = "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n"
LABELS = "1 0.5 0.5 0.25 0.5\n\n0 0 0 0.5 0 0.25 1\n"  # a box, and a triangle


def yolo(root: Path, document: str = DOCUMENT, labels: str = LABELS) -> Path:
    """Two images a split, 40 x 20 pixels: one turned by its EXIF data, and one without objects."""
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / part).mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (20, 40)).save(root / "images" / part / "a.jpg", exif=exif)
        Image.new("RGB", (40, 20)).save(root / "images" / part / "empty.png")
        (root / "labels" / part / "a.txt").write_text(labels)
    (root / "data.yaml").write_text(document)
    return root


def test_boxes_and_outlines_are_corners_in_pixels_of_the_photo_as_it_is_seen(
    tmp_path: Path,
) -> None:
    found = open_annotated(str(yolo(tmp_path)), "train", "detection")
    assert found.classes == ("cat", "dog") and found.notes == ()
    assert [found.identifier(i) for i in range(len(found))] == ["a", "empty"]
    assert found.image(0).size == (40, 20)
    objects = found.objects(0)
    assert objects.boxes.tolist() == [[15, 5, 25, 15], [0, 0, 20, 20]]
    assert objects.classes.tolist() == [1, 0] and not objects.crowd.any()
    assert objects.areas.tolist() == [100, 400]
    assert len(found.objects(1).classes) == 0


def roboflow(root: Path) -> str:
    """Folders of splits, and paths that begin one folder too high."""
    yolo(root)
    for part, name in (("train", "train"), ("val", "valid")):
        (root / name).mkdir()
        for kind in ("images", "labels"):
            (root / kind / part).rename(root / name / kind)
    text = "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['cat', 'dog']\n"
    (root / "data.yaml").write_text(text)
    return str(root)


def with_lists(root: Path) -> str:
    yolo(root, "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
    for part in ("train", "val"):
        images = f"./images/{part}/a.jpg\nimages/{part}/empty.png\n"
        (root / f"{part}.txt").write_text(images)
    return str(root)


def with_labels_beside(root: Path) -> str:
    yolo(root, "train: train\nval: [val]\nnames: [cat, dog]\n")
    for part in ("train", "val"):
        (root / "images" / part).rename(root / part)
        (root / "labels" / part / "a.txt").rename(root / part / "a.txt")
    return str(root)


def elsewhere(root: Path) -> str:
    (root / "set").mkdir()
    yolo(root / "set", f"path: {root / 'set'}" + DOCUMENT.removeprefix("path: ."))
    return str((root / "set" / "data.yaml").rename(root / "pets.yml"))


def of_another_machine(root: Path) -> str:
    place = r"C:\Users\someone\pets.v2\images"
    yolo(root, f"train: {place}\\train\nval: {place}\\val\nnames: [cat, dog]\n")
    return str(root)


@pytest.mark.parametrize(
    "layout", [roboflow, with_lists, with_labels_beside, elsewhere, of_another_machine]
)
def test_other_layouts_are_the_same_data(tmp_path: Path, layout: Callable[[Path], str]) -> None:
    source = layout(tmp_path)
    train, test = (open_annotated(source, split, "detection") for split in ("train", "test"))  # type: ignore[arg-type]
    for found in (train, test):
        assert found.classes == ("cat", "dog") and len(found) == 2
        assert found.objects(0).boxes.tolist() == [[15, 5, 25, 15], [0, 0, 20, 20]]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("2 0.5 0.5 0.25 0.5", "1 boxes are of a class without a name"),
        ("1 20 10 8 8", "1 boxes lie outside of their image"),  # in pixels
        ("1 0.5 0.5 0 0.5", "1 boxes have no area"),
        ("1 0.5 0.5 -0.5 0.5", "1 boxes have no area"),
    ],
)
def test_what_is_left_out_is_counted(tmp_path: Path, line: str, note: str) -> None:
    found = open_annotated(str(yolo(tmp_path, labels=f"{LABELS}{line}\n")), "train", "detection")
    assert found.notes == (f"train: {note}, left out",)
    assert len(found.objects(0).classes) == 2
    yolo(tmp_path, labels=f"{line}\n")
    with pytest.raises(UserError, match=f"none of 1 boxes can be used: train: {note}"):
        open_annotated(str(tmp_path), "train", "detection")


def test_a_rounded_box_at_the_edge_is_kept_inside(tmp_path: Path) -> None:
    found = open_annotated(str(yolo(tmp_path, labels="0 0.502 0.5 1 1")), "train", "detection")
    assert found.objects(0).boxes.tolist()[0][2:] == [40, 20]


@pytest.mark.parametrize(
    ("document", "labels", "message"),
    [
        (DOCUMENT, "1 0.5 0.5 0.25", r"a\.txt: line 1 is not class, centre x and y"),
        (DOCUMENT, "cat 0.5 0.5 0.25 0.5", "line 1 is not class"),
        (DOCUMENT, "0.5 0.5 0.5 0.25 0.5", "line 1 is not class"),
        (DOCUMENT, "1 0.5 nan 0.25 0.5", "line 1 is not class"),
        ("train: [", LABELS, r"data\.yaml: not YAML"),
        ("train: !!python/object/apply:os.system [ls]\nnames: [a]", LABELS, "not YAML"),
        ("train: a\nval: images/none\nnames: [a]", LABELS, "there is no .*images/none"),
        ("train: images/train\nnames: [a, b]", LABELS, "no test split, and only 2 images"),
        ("train: 1\nval: 2\nnames: [a]", LABELS, "is no path"),
        (DOCUMENT.replace("1: dog", "2: dog"), LABELS, "neither a list, nor numbered"),
        (DOCUMENT.replace("1: dog", "1: cat"), LABELS, "several classes are called cat"),
        (DOCUMENT + "nc: 3\n", LABELS, "nc is 3, but there are 2 names"),
        (DOCUMENT.replace("{0: cat, 1: dog}", "[]"), LABELS, "has no class"),
        (DOCUMENT.replace("images/val", "labels/val"), LABELS, "val has no image"),
    ],
)
def test_a_broken_file_is_one_line(
    tmp_path: Path, document: str, labels: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_annotated(str(yolo(tmp_path, document, labels)), "test", "detection")
    assert "\n" not in caught.value.line()


def test_without_a_test_split_every_fifth_image_is_one(tmp_path: Path) -> None:
    source = str(yolo(tmp_path, "train: images/train\nnames: [cat, dog]\n"))
    for number in range(9):
        Image.new("RGB", (40, 20)).save(tmp_path / "images" / "train" / f"b{number}.jpg")
    train, test = (open_annotated(source, split, "detection") for split in ("train", "test"))  # type: ignore[arg-type]
    names = [[part.identifier(i) for i in range(len(part))] for part in (train, test)]
    assert names[1] == ["b3", "b8"]
    assert sorted(names[0] + names[1]) == ["a", *(f"b{n}" for n in range(9)), "empty"]
    assert train.notes == test.notes == ("no test split: every fifth image is one, 2 of 11",)


def test_images_without_any_labels_are_one_line(tmp_path: Path) -> None:
    yolo(tmp_path)
    for part in ("train", "val"):
        (tmp_path / "labels" / part).rename(tmp_path / f"labels-{part}")
    with pytest.raises(UserError, match=r"none of 2 images has its objects, such as .*a\.txt"):
        open_annotated(str(tmp_path), "train", "detection")


def test_other_yaml_beside_photos_is_no_data_set(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "settings.yaml").write_text("!!python/name:os.system {]")
    (tmp_path / "notes.yml").write_text("- train\n- names\n")
    assert configuration(tmp_path) is None
    assert annotated_images(str(tmp_path), "train") is None


@given(
    st.lists(
        st.tuples(*[st.floats(0.1, 0.9) for _ in range(2)],
                  *[st.floats(0.01, 0.2) for _ in range(2)]),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, ...]]
) -> None:
    lines = "".join(f"0 {' '.join(map(repr, box))}\n" for box in boxes)
    found = open_annotated(
        str(yolo(tmp_path_factory.mktemp("set"), labels=lines)), "train", "detection"
    )
    assert isinstance(found, YoloDataset)
    left, top, right, bottom = found.boxes[0].T
    expected = np.array(boxes)
    np.testing.assert_allclose((left + right) / 2, expected[:, 0], atol=1e-12)
    np.testing.assert_allclose((top + bottom) / 2, expected[:, 1], atol=1e-12)
    np.testing.assert_allclose(right - left, expected[:, 2], atol=1e-12)
    np.testing.assert_allclose(bottom - top, expected[:, 3], atol=1e-12)
