"""Pascal VOC's layout: an XML file for each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.annotated import annotated_images, open_annotated
from lolvit_data.dataset import Split

SPLITS: tuple[Split, Split] = ("train", "test")


def thing(name: str, *box: float, more: str = "") -> str:
    """An object as LabelImg writes it."""
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False)
    inside = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name>{more}<bndbox>{inside}</bndbox></object>"


def annotation(*objects: str, size: str = "40,20") -> str:
    width, height = size.split(",")
    return (
        f"<annotation><filename>other.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size>{''.join(objects)}</annotation>"
    )


TWO = annotation(thing("dog", 1, 1, 40, 20), thing("cat", 11, 6, 20, 15))


def voc(root: Path, text: str = TWO, *, names: tuple[str, str] = ("train", "val")) -> Path:
    """Two images a split, 40 x 20 pixels, one of which has no annotations; lists in the order b,
    a."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for part, name in zip("tv", names, strict=True):
        for image in "ab":
            Image.new("RGB", (40, 20)).save(root / "JPEGImages" / f"{part}{image}.jpg")
        (root / "Annotations" / f"{part}a.xml").write_text(text)
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(f"{part}b\n{part}a -1\n")
    return root


def test_a_box_over_the_whole_image_begins_at_its_edges(tmp_path: Path) -> None:
    found = open_annotated(str(voc(tmp_path)), "train", "detection")
    assert found.classes == ("cat", "dog")
    assert found.notes == ("train: 1 images have no annotations, left out",)
    assert [found.identifier(i) for i in range(len(found))] == ["ta"]
    assert found.image(0).size == (40, 20)
    objects = found.objects(0)
    assert objects.boxes.tolist() == [[0, 0, 40, 20], [10, 5, 20, 15]]
    assert objects.classes.tolist() == [1, 0] and not objects.crowd.any()
    assert objects.areas.tolist() == [800, 100]


def as_published(root: Path) -> None:
    voc(root)


def trainval_and_test(root: Path) -> None:
    voc(root, names=("trainval", "test"))


def capital_letters(root: Path) -> None:
    voc(root, names=("Train", "Validation"))


def roboflow(root: Path) -> None:
    voc(root)
    for part, name in (("t", "train"), ("v", "valid")):
        (root / name).mkdir()
        for path in [*root.glob(f"JPEGImages/{part}*"), *root.glob(f"Annotations/{part}*")]:
            path.rename(root / name / path.name)
    for name in ("JPEGImages", "Annotations", "ImageSets"):
        rmtree(root / name)


def folders_of_splits(root: Path, annotations: str = "annotations") -> None:
    voc(root)
    for part, name in (("t", "train"), ("v", "val")):
        for kind, place in (("JPEGImages", "images"), ("Annotations", annotations)):
            (root / place / name).mkdir(parents=True, exist_ok=True)
            for path in root.glob(f"{kind}/{part}*"):
                path.rename(root / place / name / path.name)
    for name in ("JPEGImages", "Annotations", "ImageSets"):
        rmtree(root / name)


def in_folders_of_images(root: Path) -> None:
    folders_of_splits(root, "images")


def in_annots(root: Path) -> None:
    folders_of_splits(root, "annots")


def in_capitals(root: Path) -> None:
    voc(root)
    (root / "JPEGImages").rename(root / "Images")


def names_with_spaces(root: Path) -> None:
    voc(root)
    for part, name in (("t", "train"), ("v", "val")):
        for path in (root / "JPEGImages" / f"{part}a.jpg", root / "Annotations" / f"{part}a.xml"):
            path.rename(path.with_stem(f"{part}a (1)"))
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(f"{part}a (1)\n")


@pytest.mark.parametrize(
    "layout",
    [as_published, trainval_and_test, capital_letters, names_with_spaces, roboflow,
     folders_of_splits, in_folders_of_images, in_annots, in_capitals],
)  # fmt: skip
def test_other_layouts_are_the_same_data(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path)
    for split, name in zip(SPLITS, ("ta", "va"), strict=True):
        found = open_annotated(str(tmp_path), split, "detection")
        assert [found.identifier(i).split()[0] for i in range(len(found))] == [name]
        assert found.objects(0).boxes.tolist() == [[0, 0, 40, 20], [10, 5, 20, 15]]


@pytest.mark.parametrize("images", ["JPEGImages", "images", "."])
@pytest.mark.parametrize("more", ["", "default"])
def test_without_splits_every_fifth_image_is_a_test_image(
    tmp_path: Path, images: str, more: str
) -> None:
    """LabelImg writes both kinds of files into one folder, CVAT lists all in default.txt."""
    annotations = {"JPEGImages": "Annotations", "images": "annotations", ".": "."}[images]
    for folder in (images, annotations):
        (tmp_path / folder).mkdir(exist_ok=True)
    for number in range(10):
        Image.new("RGB", (40, 20)).save(tmp_path / images / f"{number}.png")
        (tmp_path / annotations / f"{number}.xml").write_text(TWO)
    if more:
        (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
        (tmp_path / "ImageSets" / "Main" / "default.txt").write_text("0\n1\n")
    train, test = (open_annotated(str(tmp_path), split, "detection") for split in SPLITS)
    assert len(train) == 8
    assert [test.identifier(i) for i in range(len(test))] == ["4", "9"]
    assert train.notes == ("no test split: every fifth image is one, 2 of 10",)


def test_difficult_objects_are_neither_trained_nor_counted_on(tmp_path: Path) -> None:
    hard = thing("cat", 1, 1, 5, 5, more="<difficult>1</difficult>")
    text = annotation(hard, thing("cat", 6, 6, 9, 9, more="<difficult>0</difficult>"))
    found = open_annotated(str(voc(tmp_path, text)), "test", "detection")
    assert found.objects(0).crowd.tolist() == [True, False]
    assert "test: 1 objects are marked as difficult, not trained or counted on" in found.notes


@pytest.mark.parametrize(
    ("added", "note"),
    [
        (thing("cat", 50, 5, 60, 9), "1 boxes lie outside of their image, or have no area"),
        (thing("cat", 9, 5, 3, 9), "1 boxes lie outside of their image, or have no area"),
        ("<object><name>cat</name><polygon/></object>", "1 objects have no box"),
    ],
)
def test_what_is_left_out_is_counted(tmp_path: Path, added: str, note: str) -> None:
    text = annotation(thing("cat", 1, 1, 9, 9), added)
    found = open_annotated(str(voc(tmp_path, text)), "train", "detection")
    assert f"train: {note}, left out" in found.notes
    assert found.objects(0).boxes.tolist() == [[0, 0, 9, 9]]


def test_a_class_that_training_never_sees_is_left_out_of_the_test(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / "Annotations" / "va.xml").write_text(
        annotation(thing("bird", 1, 1, 9, 9), thing("dog", 1, 1, 9, 9))
    )
    found = open_annotated(str(tmp_path), "test", "detection")
    assert found.classes == ("cat", "dog") and found.objects(0).classes.tolist() == [1]
    what = "1 boxes are of a class that the training split does not have"
    assert f"test: {what}, left out" in found.notes


def test_a_box_beyond_the_edge_is_clipped(tmp_path: Path) -> None:
    text = annotation(thing("cat", -3, 0, 44.5, 21))
    objects = open_annotated(str(voc(tmp_path, text)), "train", "detection").objects(0)
    assert objects.boxes.tolist() == [[0, 0, 40, 20]] and objects.areas.tolist() == [800]


@pytest.mark.parametrize("size", ["0,0", "41,20"])
def test_only_a_size_that_differs_from_the_images_is_an_error(tmp_path: Path, size: str) -> None:
    """Some tools write zeros."""
    found = open_annotated(
        str(voc(tmp_path, annotation(thing("a", 1, 1, 9, 9), size=size))), "train", "detection"
    )
    if size == "0,0":
        assert found.image(0).size == (40, 20)
        return
    with pytest.raises(UserError, match=r"ta\.jpg: has 40x20 pixels, .* are for 41x20"):
        found.image(0)


BOMB = f"""<!DOCTYPE b [<!ENTITY a "{"x" * 99}">{
    "".join(
        f'<!ENTITY {"abcdefghi"[i]} "{"&" + "abcdefghi"[i - 1] + ";"}{"&a;" * 99}">'
        for i in range(1, 9)
    )
}]><annotation>&i;</annotation>"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", r"va\.xml: not XML: no element found"),
        ("", "not XML"),
        ("\x00", "not XML"),
        (BOMB, "not XML: it declares a document type, b"),
        ('<!DOCTYPE a SYSTEM "/etc/hostname"><annotation/>', "it declares a document type, a"),
        ('<?xml version="1.0" encoding="none"?><annotation/>', "not XML"),
        ("<doc/>", "not in VOC's format: its root is doc"),
        (annotation(thing("", 1, 1, 9, 9)), "an object has no name"),
        (annotation(thing("a", 1, 1, 9)), "a box has no xmin, ymin, xmax, ymax"),
        (annotation(thing("a", 1, 1, 9, float("inf"))), "a box has no xmin"),
        (annotation(thing("a", 1, 1, 9, 9)).replace("<ymax>9", "<ymax>x"), "not in VOC's format"),
        (annotation(size="inf,20"), "not in VOC's format"),
        (annotation(size="x,20"), "not in VOC's format"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    voc(tmp_path)
    (tmp_path / "Annotations" / "va.xml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        open_annotated(str(tmp_path), "test", "detection")
    assert "\n" not in caught.value.line()


def test_lists_of_no_image_and_annotations_without_objects_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Annotations: has no objects; annotate some"):
        open_annotated(str(voc(tmp_path, annotation())), "train", "detection")
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("other\n\n")
    with pytest.raises(UserError, match=r"train\.txt: none of 1 names has both an image"):
        open_annotated(str(tmp_path), "train", "detection")


def test_other_xml_beside_photos_is_no_data_set(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    for text in ("<metadata/>", "<not xml"):
        (tmp_path / "a.xml").write_text(text)
        assert annotated_images(str(tmp_path), "train") is None


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(1, 15), st.integers(0, 10), st.integers(0, 5)),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[int, int, int, int]]
) -> None:
    text = annotation(*(thing("a", x, y, x + w, y + h) for x, y, w, h in boxes))
    root = voc(tmp_path_factory.mktemp("set"), text)
    found = open_annotated(str(root), "train", "detection").objects(0).boxes
    expected = [[x - 1, y - 1, x + w, y + h] for x, y, w, h in boxes]
    np.testing.assert_array_equal(found, expected)
