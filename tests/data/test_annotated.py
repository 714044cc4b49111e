"""Layouts of COCO, Roboflow, BDD100K and of folders of masks, with the traps that they have."""

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
from lolvit_data.masked_photos import MaskedPhotos

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


def bdd(root: Path, kind: str = "sem_seg", classes: int = 19) -> Path:
    """Three images, of which one has no mask, and a mask without an image."""
    images = {"sem_seg": "10k", "drivable": "100k"}[kind]
    for part in ("train", "val"):
        photos = root / "images" / images / part
        masks = root / "labels" / kind / "masks" / part
        for folder in (photos, masks):
            folder.mkdir(parents=True, exist_ok=True)
        for name in ("a", "b", "alone"):
            Image.new("RGB", (16, 9)).save(photos / f"{name}.jpg")
        mask = np.arange(144, dtype=np.uint8).reshape(9, 16) % classes
        mask[0] = 255
        for name in ("a", "b", "orphan"):
            Image.fromarray(mask).save(masks / f"{name}.png")
    return root


def test_images_and_masks_are_paired_by_name_and_orphans_counted(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "test", "segmentation")
    assert [found.identifier(i) for i in range(len(found))] == ["a", "b"]
    assert found.notes == ("1 images have no mask, left out", "1 masks have no image, left out")
    assert len(found.classes) == 19 and found.classes[13] == "car"
    assert found.colors is not None and found.colors[13] == "#00008e"
    mask = found.mask(0)
    assert (mask[0] == 255).all() and mask[1, 0] == 16


def test_the_drivable_classes_are_those_of_its_masks(tmp_path: Path) -> None:
    bdd(bdd(tmp_path), "drivable", 3)
    with pytest.raises(UserError, match="sem_seg and drivable"):
        open_annotated(str(tmp_path), "train", "segmentation")
    found = open_annotated(f"{tmp_path}#drivable", "train", "segmentation")
    assert found.classes == ("direct", "alternative", "background")
    assert set(np.unique(found.mask(0))) == {0, 1, 2, 255}


def test_a_colour_map_or_an_unknown_class_in_place_of_a_mask_is_named(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "train", "segmentation")
    assert isinstance(found, MaskedPhotos)
    Image.new("RGB", (16, 9), "#804080").save(found.pairs[0][1])
    with pytest.raises(UserError, match="not of class numbers"):
        found.mask(0)
    Image.fromarray(np.full((9, 16), 19, np.uint8)).save(found.pairs[1][1])
    with pytest.raises(UserError, match="has the class 19"):
        found.mask(1)


def test_a_mask_of_another_size_than_its_image_is_named(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "train", "segmentation")
    assert isinstance(found, MaskedPhotos)
    Image.fromarray(np.zeros((16, 9), np.uint8)).save(found.pairs[0][1])
    with pytest.raises(UserError, match="has 9x16 pixels, its image 16x9"):
        found.mask(0)


def test_the_classes_of_a_mask_with_a_palette_are_its_indices(tmp_path: Path) -> None:
    found = open_annotated(str(bdd(tmp_path)), "train", "segmentation")
    assert isinstance(found, MaskedPhotos)
    indices = (np.arange(144, dtype=np.uint8) % 19).reshape(9, 16)
    coloured = Image.fromarray(indices)
    coloured.putpalette([grey for grey in range(255, -1, -1) for _ in range(3)])
    coloured.save(found.pairs[0][1])
    with Image.open(found.pairs[0][1]) as opened:
        assert opened.mode == "P"
    assert (found.mask(0) == indices).all()


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


def masked(root: Path, by_split: bool, names: str | None = "ground\nroad\n") -> Path:
    """A photo on its side and one in a folder below, each with a mask of two classes."""
    for part in ("train", "val"):
        images, masks = (
            root / (f"{part}/{kind}" if by_split else f"{kind}/{part}")
            for kind in ("images", "masks")
        )
        mask = np.zeros((16, 9), np.uint8)
        mask[4:] = 1
        mask[0] = 255
        exif = Image.Exif()
        exif[0x0112] = 6
        for name in ("a", "b/a"):
            (images / name).parent.mkdir(parents=True, exist_ok=True)
            (masks / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 9)).save(images / f"{name}.jpeg", exif=exif)
            Image.fromarray(mask).save(masks / f"{name}.png")
    if names is not None:
        (root / "classes.txt").write_text(names)
    return root


def test_masks_that_are_not_split_are_divided(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(6):
        Image.new("RGB", (16, 9)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(np.eye(9, 16, dtype=np.uint8)).save(tmp_path / "masks" / f"{number}.png")
    (tmp_path / "classes.txt").write_text("ground\nroad\n")
    found = open_annotated(str(tmp_path), "test", "segmentation")
    assert [found.identifier(i) for i in range(len(found))] == ["4"]
    assert len(open_annotated(str(tmp_path), "train", "segmentation")) == 5


@pytest.mark.parametrize("by_split", [True, False])
@pytest.mark.parametrize("split", ["train", "test"])
def test_folders_of_images_and_masks_are_paired_by_their_paths(
    tmp_path: Path, by_split: bool, split: Split
) -> None:
    found = open_annotated(str(masked(tmp_path, by_split)), split, "segmentation")
    assert found.classes == ("ground", "road") and found.notes == ()
    assert [found.identifier(i) for i in range(len(found))] == ["a", "b/a"]
    for index in range(2):
        assert found.image(index).size == found.mask(index).shape[::-1] == (9, 16)
        assert np.unique(found.mask(index)).tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("names", "message"),
    [(None, "no data set for segmentation.* classes.txt"), ("road\n", "has 1 classes")],
)
def test_classes_of_masks_need_names(tmp_path: Path, names: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_annotated(str(masked(tmp_path, True, names)), "train", "segmentation")


def test_images_and_masks_without_names_are_photos_to_calibrate_with(tmp_path: Path) -> None:
    assert annotated_images(str(masked(tmp_path, True, None)), "train") is None


def test_black_and_white_masks_and_those_of_other_names_are_one_line(tmp_path: Path) -> None:
    masked(tmp_path, by_split=False)
    masks = sorted((tmp_path / "masks" / "train").rglob("*.png"))
    white = np.zeros((16, 9), np.uint8)
    white[4:] = 255
    for path in masks:
        Image.fromarray(white).save(path)
    with pytest.raises(UserError, match=r"the values 0 and 255 alone.* 1 in place of 255"):
        open_annotated(str(tmp_path), "train", "segmentation")
    for path in masks:
        path.rename(path.with_stem(f"{path.stem}-1"))
    with pytest.raises(UserError, match=r"2 PNG masks, such as a\.jpeg and a-1\.png"):
        open_annotated(str(tmp_path), "train", "segmentation")
    for path in masks:
        path.with_stem(f"{path.stem}-1").unlink()
    with pytest.raises(UserError, match=r"0 PNG masks, such as a\.jpeg"):
        open_annotated(str(tmp_path), "train", "segmentation")


@pytest.mark.parametrize(
    ("source", "task", "message"),
    [
        ("nowhere", "detection", "no such data set"),
        (".", "detection", "is no data set for detection"),
        (".", "segmentation", "is no data set for segmentation"),
    ],
)
def test_what_is_no_data_set_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, task: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        open_annotated(source, "train", task)
