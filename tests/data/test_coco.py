"""COCO's layout, with the traps that it has, and Roboflow's form of it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.annotated import annotated_images, open_annotated
from lolvit_data.annotations import limited
from lolvit_data.coco import CocoDataset
from lolvit_data.dataset import Split
from lolvit_data.detection_metrics import DetectionMetrics, save_detections

Change = Callable[[dict[str, Any]], object]


def coco(root: Path, change: Change = lambda document: None) -> Path:
    """Two images of 40 x 30 pixels, with ids and classes as COCO has them: with gaps."""
    for part in ("train", "val"):
        folder = root / f"{part}2017"
        folder.mkdir(parents=True)
        for number in (7, 9):
            Image.new("RGB", (40, 30)).save(folder / f"{number:012}.jpg")
        document = {
            "images": [
                {"id": n, "file_name": f"{n:012}.jpg", "width": 40, "height": 30} for n in (9, 7)
            ],
            "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 90, "bbox": [30, 20, 20, 5], "area": 80,
                 "iscrowd": 0},
                {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 10.5, 8], "area": 60,
                 "iscrowd": 1},
            ],
        }  # fmt: skip
        change(document)
        path = root / "annotations" / f"instances_{part}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))
    return root


def test_ids_become_indices_and_boxes_corners_inside_the_image(tmp_path: Path) -> None:
    found = open_annotated(str(coco(tmp_path / "coco")), "test", "detection")
    assert isinstance(found, CocoDataset)
    assert found.classes == ("person", "toothbrush") and found.category_ids == (1, 90)
    assert [found.identifier(i) for i in range(len(found))] == ["7", "9"]
    objects = found.objects(0)
    assert objects.boxes.tolist() == [[30, 20, 40, 25], [0, 0, 10.5, 8]]
    assert objects.classes.tolist() == [1, 0]
    assert objects.crowd.tolist() == [False, True]
    assert objects.areas.tolist() == [80, 60]
    assert found.objects(1).boxes.shape == (0, 4)  # an image without objects stays
    assert found.image(1).size == (40, 30) and found.notes == ()


@pytest.mark.parametrize("folder", ["default", "images/default", "images"])
def test_one_file_of_annotations_is_divided(tmp_path: Path, folder: str) -> None:
    """As CVAT exports it."""
    coco(tmp_path)
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    images = tmp_path / folder
    images.parent.mkdir(exist_ok=True)
    (tmp_path / "train2017").rename(images)
    path = tmp_path / "annotations" / "instances_train2017.json"
    document = json.loads(path.read_text())
    for number in range(20, 30):
        Image.new("RGB", (40, 30)).save(images / f"{number}.jpg")
        document["images"].append({"id": number, "file_name": f"{number}.jpg"})
    path.with_name("instances_default.json").write_text(json.dumps(document))
    path.unlink()
    test = open_annotated(str(tmp_path), "test", "detection")
    assert [test.identifier(i) for i in range(len(test))] == ["22", "27"]
    assert len(open_annotated(str(tmp_path), "train", "detection")) == 10
    assert "every fifth image is one, 2 of 12" in test.notes[0]


def named_otherwise(root: Path, train: str, val: str) -> None:
    """Rename the files of annotations, relative to the folder."""
    for part, name in (("train", train), ("val", val)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{part}2017.json").rename(root / name)


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("annotations/custom_train.json", "annotations/custom_val.json"),
        ("train.json", "val.json"),
        ("annotations/Train-2.json", "annotations/valid.json"),
        ("annotations/instances_default.json", "annotations/val_instances_default.json"),
    ],
)
@pytest.mark.parametrize("images", ["{part}2017", "{part}", "images/{part}", "images"])
def test_files_of_annotations_and_folders_have_the_names_that_people_give_them(
    tmp_path: Path, train: str, val: str, images: str
) -> None:
    coco(tmp_path)
    named_otherwise(tmp_path, train, val)
    for part in ("train", "val"):
        place = tmp_path / images.format(part=part)
        place.mkdir(parents=True, exist_ok=True)
        for path in sorted((tmp_path / f"{part}2017").iterdir()):
            path.rename(place / path.name)
    if "default" in train and images != "images":
        return  # nothing says which folder those are in
    for split in ("train", "test"):
        found = open_annotated(str(tmp_path), split, "detection")  # type: ignore[arg-type]
        assert [found.identifier(i) for i in range(len(found))] == ["7", "9"]
        assert found.image(0).size == (40, 30) and found.notes == ()


def test_label_studios_single_file_has_paths_from_any_system(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "train2017").rename(tmp_path / "images")
    path = tmp_path / "annotations" / "instances_train2017.json"
    document = json.loads(path.read_text())
    for number in range(4):
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / f"{number}.png")
        document["images"].append({"id": number, "file_name": f"{number}.png"})
    for image in document["images"]:
        image["file_name"] = f"images\\{image['file_name']}"
    rmtree(tmp_path / "annotations")
    (tmp_path / "result.json").write_text(json.dumps(document))
    test = open_annotated(str(tmp_path), "test", "detection")
    assert [test.identifier(i) for i in range(len(test))] == ["7"] and len(test.objects(0).boxes)
    for image in document["images"]:
        image["file_name"] = f"/home/someone/project/{image['file_name']}"
    (tmp_path / "result.json").write_text(json.dumps(document))
    assert len(open_annotated(str(tmp_path), "train", "detection")) == 5


def test_two_files_of_one_split_are_one_line(tmp_path: Path) -> None:
    coco(tmp_path)
    named_otherwise(tmp_path, "train.json", "old_train.json")
    with pytest.raises(UserError, match=r"has old_train\.json and train\.json, of one split"):
        open_annotated(str(tmp_path), "train", "detection")


def test_other_json_beside_photos_is_no_data_set(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "train.json").write_text('{"images": [], "categories": []}')
    (tmp_path / "empty.json").write_text("")
    assert annotated_images(str(tmp_path), "train") is None


def test_images_that_are_nowhere_are_one_line(tmp_path: Path) -> None:
    coco(tmp_path)
    rmtree(tmp_path / "train2017")
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"none of its 2 images is in images/, annotations/; put"):
        open_annotated(str(tmp_path), "train", "detection")


def test_detections_on_some_of_the_images_are_saved_with_the_files_ids(tmp_path: Path) -> None:
    some = limited(open_annotated(str(coco(tmp_path / "coco")), "test", "detection"), 1)
    metrics = DetectionMetrics(some.classes)
    metrics.update(0, some.objects(0), np.array([[1, 2, 5, 8.0]]), np.array([0.5]), np.array([1]))
    save_detections(metrics, some, tmp_path / "found.json")
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert (found["image_id"], found["category_id"]) == (7, 90)
    assert found["bbox"] == [1, 2, 4, 6]


def without_area(document: dict[str, Any]) -> None:
    document["annotations"][0]["bbox"][2] = 0


def without_numbers(document: dict[str, Any]) -> None:
    document["annotations"][0]["bbox"][0] = float("nan")


def beside_its_image(document: dict[str, Any]) -> None:
    document["annotations"][0]["bbox"][0] = 45


def of_no_image(document: dict[str, Any]) -> None:
    document["annotations"][0]["image_id"] = 5


def missing_file(document: dict[str, Any]) -> None:
    document["images"].append({"id": 5, "file_name": "5.jpg"})


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (without_area, "1 boxes have no area"),
        (without_numbers, "1 boxes have no area"),
        (beside_its_image, "1 boxes lie outside of their image"),
        (of_no_image, "1 boxes are of an image or a class"),
        (missing_file, "1 images have no file"),
    ],
)
def test_what_is_left_out_is_counted(tmp_path: Path, change: Change, note: str) -> None:
    found = open_annotated(str(coco(tmp_path, change)), "train", "detection")
    assert any(note in line for line in found.notes)
    assert len(found) == 2 and len(found.objects(0).classes) == (2 if change is missing_file else 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("categories"), "not in COCO's format"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2]), "not in COCO's format"),
        (lambda d: d["images"].clear(), "none of its 0 images"),
        (lambda d: d["images"].append(d["images"][0]), "2 images have the id 9"),
        (lambda d: d["categories"].append({"id": 90, "name": "b"}), "2 categories have the id 90"),
        (lambda d: d["categories"].append({"id": 5, "name": "person"}), "are called person"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_annotated(str(coco(tmp_path, change)), "train", "detection")


def test_an_image_of_another_size_than_was_annotated_is_named(tmp_path: Path) -> None:
    found = open_annotated(str(coco(tmp_path)), "train", "detection")
    assert isinstance(found, CocoDataset)
    Image.new("RGB", (30, 40)).save(found.files[0])
    with pytest.raises(UserError, match="has 30x40 pixels, its annotations are for 40x30"):
        found.image(0)
    assert found.image(1).size == (40, 30)


def test_outlines_take_no_memory(tmp_path: Path) -> None:
    """COCO's file has 450 MB, most of it outlines; their objects would take ten times that."""
    root = coco(tmp_path)
    path = root / "annotations" / "instances_train2017.json"
    document = json.loads(path.read_text())
    outline = [[round(0.01 * i, 2) for i in range(100, 400)]]
    document["annotations"] = [
        {**document["annotations"][0], "id": i, "segmentation": outline} for i in range(2000)
    ]
    path.write_text(json.dumps(document))
    tracemalloc.start()
    found = open_annotated(str(root), "train", "detection")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.objects(0).classes) == 2000
    assert peak < 4 * path.stat().st_size


def roboflow(root: Path, category: int) -> Path:
    """One image a split, as Roboflow exports it: the classes' group is a class, with the id 0."""
    for part in ("train", "valid", "test"):
        (root / part).mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(root / part / "a_jpg.rf.123.jpg")
        names = (("pets", "none"), ("dog", "pets"), ("cat", "pets"))
        document = {
            "images": [{"id": 0, "file_name": "a_jpg.rf.123.jpg", "width": 40, "height": 30}],
            "categories": [
                {"id": n, "name": name, "supercategory": group}
                for n, (name, group) in enumerate(names)
            ],
            "annotations": [
                {"id": 0, "image_id": 0, "category_id": category, "bbox": [4, 2, 8, 6]}
            ],
        }
        (root / part / "_annotations.coco.json").write_text(json.dumps(document))
    return root


@pytest.mark.parametrize(
    ("category", "classes", "index"), [(2, ("dog", "cat"), 1), (0, ("pets", "dog", "cat"), 0)]
)
def test_roboflows_group_of_the_classes_is_a_class_only_if_it_has_objects(
    tmp_path: Path, category: int, classes: tuple[str, ...], index: int
) -> None:
    folder = roboflow(tmp_path, category)
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        found = open_annotated(str(folder), split, "detection")
        assert found.classes == classes
        assert found.objects(0).classes.tolist() == [index]
        assert found.objects(0).boxes.tolist() == [[4, 2, 12, 8]]
        assert found.image(0).size == (40, 30)
