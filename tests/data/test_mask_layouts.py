"""Masks in the layouts of Pascal VOC, CVAT, labelme, Roboflow and Cityscapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.annotated import annotated_images, open_annotated
from lolvit_data.dataset import Split
from lolvit_data.masked_photos import Values

SPLITS: tuple[Split, Split] = ("train", "test")
NUMBERS = (np.arange(9 * 16) % 3).astype(np.uint8).reshape(9, 16)
CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\ndog:1,2,255::\n"
COLORS = np.array([[0, 0, 0], [250, 50, 83], [1, 2, 255], [224, 224, 192]], np.uint8)


def save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def voc(root: Path, mask: npt.NDArray[np.uint8], classes: dict[str, str] | None = None) -> Path:
    """Two images, one a split, and an image without a mask in a list."""
    for name, part in (("a", "train"), ("b.1", "val")):
        save(np.zeros((9, 16, 3), np.uint8), root / "JPEGImages" / f"{name}.jpg")
        save(mask, root / "SegmentationClass" / f"{name}.png")
        path = root / "ImageSets" / "Segmentation" / f"{part}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n\n")
    for file, text in (classes or {}).items():
        (root / file).write_text(text)
    return root


def check(root: Path, classes: tuple[str, ...], identifiers: tuple[str, str]) -> None:
    for split, identifier in zip(SPLITS, identifiers, strict=True):
        found = open_annotated(str(root), split, "segmentation")
        assert found.classes == classes and found.notes == ()
        assert [found.identifier(i) for i in range(len(found))] == [identifier]
        assert found.image(0).size == (16, 9)
        np.testing.assert_array_equal(found.mask(0), NUMBERS)


def test_vocs_own_masks_are_indices_of_a_palette_without_a_file_of_names(tmp_path: Path) -> None:
    voc(tmp_path, NUMBERS)
    for path in (tmp_path / "SegmentationClass").iterdir():
        with Image.open(path) as opened:
            colored = opened.copy()
        colored.putpalette(list(range(256)) * 3)
        colored.save(path)
    found = open_annotated(str(tmp_path), "train", "segmentation")
    assert len(found.classes) == 21 and found.classes[-1] == "tvmonitor"
    check(tmp_path, found.classes, ("a", "b.1"))


def test_labelmes_names_are_in_the_order_of_the_numbers_without_what_is_ignored(
    tmp_path: Path,
) -> None:
    voc(tmp_path, NUMBERS, {"class_names.txt": "__ignore__\n_background_\ncat\ndog"})
    check(tmp_path, ("_background_", "cat", "dog"), ("a", "b.1"))


@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_cvats_masks_are_in_the_colours_of_its_map_or_in_one_channel(
    tmp_path: Path, mode: str
) -> None:
    mask = NUMBERS if mode == "L" else COLORS[NUMBERS]
    voc(tmp_path, mask, {"labelmap.txt": CVAT})
    if mode == "P":
        for path in (tmp_path / "SegmentationClass").iterdir():
            with Image.open(path) as opened:
                opened.quantize(colors=3).save(path)
    check(tmp_path, ("background", "cat", "dog"), ("a", "b.1"))
    assert open_annotated(str(tmp_path), "test", "segmentation").colors == (
        "#000000", "#fa3253", "#0102ff",
    )  # fmt: skip


def test_cvats_single_list_is_divided(tmp_path: Path) -> None:
    voc(tmp_path, COLORS[NUMBERS], {"labelmap.txt": CVAT})
    for path in (tmp_path / "ImageSets" / "Segmentation").iterdir():
        path.unlink()
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("a\nb.1")
    for number in range(8):
        save(np.zeros((9, 16, 3), np.uint8), tmp_path / "JPEGImages" / f"c{number}.png")
        save(COLORS[NUMBERS], tmp_path / "SegmentationClass" / f"c{number}.png")
    assert [len(open_annotated(str(tmp_path), each, "segmentation")) for each in SPLITS] == [8, 2]


def test_the_border_of_objects_has_no_class_and_another_colour_is_named(tmp_path: Path) -> None:
    root = voc(tmp_path, COLORS[NUMBERS + 1], {"labelmap.txt": CVAT})
    mask = open_annotated(str(root), "train", "segmentation").mask(0)
    np.testing.assert_array_equal(mask, np.where(NUMBERS == 2, 255, NUMBERS + 1))
    (root / "labelmap.txt").write_text(CVAT.replace("1,2,255", "1,2,254"))
    with pytest.raises(UserError, match=r"a\.png: has the colour #0102ff, which labelmap\.txt"):
        open_annotated(str(root), "train", "segmentation").mask(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:0,0,0::\nb:1,1::", "'b:1,1::' is no class and its colour"),
        ("a:0,0,0::\nb:1,1,256::", "is no class and its colour"),
        ("a:0,0,0::\n:1,1,1::", "is no class and its colour"),
        ("a:0,0,0::\nb:x,1,1::", "is no class and its colour"),
        ("a:0,0,0::\na:1,1,1::", "several classes are called a"),
        ("a:1,1,1::\nb:1,1,1::", "several classes have the colour #010101"),
        ("# nothing", "has 0 classes"),
    ],
)
def test_a_broken_map_of_colours_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    voc(tmp_path, NUMBERS, {"labelmap.txt": text})
    with pytest.raises(UserError, match=message) as caught:
        open_annotated(str(tmp_path), "train", "segmentation")
    assert "labelmap.txt: " in caught.value.line()


def test_roboflows_masks_lie_beside_the_images_with_a_table_of_classes(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        save(np.zeros((9, 16, 3), np.uint8), tmp_path / part / "a_png.rf.0b1.jpg")
        save(NUMBERS, tmp_path / part / "a_png.rf.0b1_mask.png")
        (tmp_path / part / "_classes.csv").write_text("Pixel Value, Class\n0, a\n1, b c\n2, d")
    check(tmp_path, ("a", "b c", "d"), ("a_png.rf.0b1", "a_png.rf.0b1"))


@pytest.mark.parametrize("header", ["", "Pixel Value, Class\n"])
@pytest.mark.parametrize("values", [(0, 127, 254), (0, 100, 255), (2, 0, 1)])
def test_a_table_says_which_values_of_masks_stand_for_classes(
    tmp_path: Path, header: str, values: tuple[int, ...]
) -> None:
    text = "".join(f"{value},{name}\n" for value, name in zip(values, "abc", strict=True))
    (tmp_path / "classes.csv").write_text(header + text)
    for part in ("train", "val"):
        save(np.zeros((9, 16, 3), np.uint8), tmp_path / "images" / part / "x.jpg")
        save(np.array(values, np.uint8)[NUMBERS], tmp_path / "masks" / part / "x.png")
    check(tmp_path, ("a", "b", "c"), ("x", "x"))
    (tmp_path / "classes.csv").write_text(text + "9,d\n77,__ignore__")
    save(np.full((9, 16), 77, np.uint8), tmp_path / "masks" / "val" / "x.png")
    found = open_annotated(str(tmp_path), "test", "segmentation")
    assert found.classes == ("a", "b", "c", "d") and (found.mask(0) == 255).all()
    save(np.where(NUMBERS == 1, 3, 0).astype(np.uint8), tmp_path / "masks" / "val" / "x.png")
    with pytest.raises(UserError, match=r"x\.png: has the value 3, which classes\.csv does not"):
        open_annotated(str(tmp_path), "test", "segmentation").mask(0)


@pytest.mark.parametrize(
    "text", ["a\nb\n", "0,a\n0,b", "0,a\n256,b", "0,a,1\n1,b,2", "a,b\nc,d", ""]
)
def test_a_table_without_values_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    for kind in ("images", "masks"):
        save(NUMBERS, tmp_path / kind / "x.png")
    with pytest.raises(UserError, match=r"classes\.csv: (is no table of values|has 0 classes)"):
        open_annotated(str(tmp_path), "train", "segmentation")


def test_roboflows_table_of_a_classifier_is_no_data_set_with_masks(tmp_path: Path) -> None:
    save(np.zeros((9, 16, 3), np.uint8), tmp_path / "train" / "a.jpg")
    (tmp_path / "train" / "_classes.csv").write_text("filename, cat\na.jpg, 1\n")
    assert annotated_images(str(tmp_path), "train") is None


def test_masks_of_a_folder_may_have_mask_at_the_end_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("a\nb\nc")
    for part in ("train", "val"):
        save(np.zeros((9, 16, 3), np.uint8), tmp_path / "images" / part / "x.1.jpg")
        save(NUMBERS, tmp_path / "masks" / part / "x.1_mask.png")
    check(tmp_path, ("a", "b", "c"), ("x.1", "x.1"))


def as_saved(mode: str) -> Image.Image:
    """A mask of two classes, as programs save it."""
    ones = (NUMBERS == 1).astype(np.uint8)
    return {
        "one bit": Image.fromarray(ones * 255).convert("1"),
        "grey in three channels": Image.fromarray(ones).convert("RGB"),
        "grey with transparency": Image.fromarray(ones).convert("RGBA"),
        "16 bits": Image.fromarray(ones.astype(np.uint16)),
    }[mode]


@pytest.mark.parametrize(
    "mode", ["one bit", "grey in three channels", "grey with transparency", "16 bits"]
)
def test_numbers_of_classes_are_read_however_they_are_saved(tmp_path: Path, mode: str) -> None:
    (tmp_path / "classes.txt").write_text("a\nb")
    for part in ("train", "val"):
        save(np.zeros((9, 16, 3), np.uint8), tmp_path / "images" / part / "x.jpg")
        (tmp_path / "masks" / part).mkdir(parents=True)
        as_saved(mode).save(tmp_path / "masks" / part / "x.png")
    found = open_annotated(str(tmp_path), "test", "segmentation")
    np.testing.assert_array_equal(found.mask(0), NUMBERS == 1)
    Image.fromarray(np.full((9, 16), 256, np.uint16)).save(tmp_path / "masks" / "val" / "x.png")
    with pytest.raises(UserError, match="is a picture of uint16"):
        found.mask(0)


@pytest.mark.parametrize("train_ids", [False, True])
def test_nineteen_of_cityscapes_ids_are_classes(tmp_path: Path, train_ids: bool) -> None:
    """Ids that are not evaluated, and 255, have none."""
    ids = np.tile(np.array([7, 8, 33, 0, 6, 29, 255], np.uint8), (9, 1))
    expected = np.tile(np.array([0, 1, 18, 255, 255, 255, 255], np.uint8), (9, 1))
    for part in ("train", "val"):
        name = "bonn_000000_000019"
        save(np.zeros((9, 7, 3), np.uint8),
             tmp_path / "leftImg8bit" / part / "bonn" / f"{name}_leftImg8bit.png")  # fmt: skip
        masks = tmp_path / "gtFine" / part / "bonn"
        save(ids, masks / f"{name}_gtFine_labelIds.png")
        save(ids, masks / f"{name}_gtFine_instanceIds.png")
        if train_ids:
            save(expected, masks / f"{name}_gtFine_labelTrainIds.png")
    for split in SPLITS:
        found = open_annotated(str(tmp_path), split, "segmentation")
        assert len(found) == 1 and len(found.classes) == 19 and found.notes == ()
        np.testing.assert_array_equal(found.mask(0), expected)
    (tmp_path / "gtFine" / "val").rename(tmp_path / "gtFine" / "test")
    with pytest.raises(UserError, match="has no gtFine/val"):
        open_annotated(str(tmp_path), "test", "segmentation")


@given(st.dictionaries(st.integers(0, 0xFFFFFF), st.integers(0, 255), min_size=1, max_size=30),
       st.integers(0, 2**32 - 1), st.integers(0, 0xFFFFFF))  # fmt: skip
def test_values_are_looked_up_one_by_one(classes: dict[int, int], seed: int, other: int) -> None:
    values = Values(classes, of_colors=True, source="a map")
    found = np.random.default_rng(seed).choice([*classes], (4, 5)).astype(np.uint32)
    expected = [[classes[value] for value in row] for row in found.tolist()]
    assert values.translate(found, Path("a.png")).tolist() == expected
    if other not in classes:
        found[2, 3] = other
        with pytest.raises(UserError, match=f"the colour #{other:06x}, which a map"):
            values.translate(found, Path("a.png"))
