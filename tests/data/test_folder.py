"""Folders of images: what is read, and what is refused in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lolvit.errors import UserError
from lolvit_data.table import open_dataset
from tests.data.images import write_folder


def test_classes_are_the_folders_in_their_order(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_folder(tmp_path / "d")), "train")
    assert dataset.classes == ("0", "1", "2")
    assert len(dataset.labels) == 48 and set(dataset.labels) == {0, 1, 2}
    assert dataset.image(0).mode == "RGB"


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "train" / "nothing").mkdir()
    with pytest.raises(UserError, match="class folders without an image: nothing"):
        open_dataset(str(root), "train")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", classes=("7",))
    with pytest.raises(UserError, match="holds 1 class folders; give at least two"):
        open_dataset(str(root), "train")


def test_a_folder_without_the_split_names_the_expected_layout(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match=r"has no folder test or testing or val.*test/CLASS/"):
        open_dataset(str(tmp_path), "test")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid", "testing", "TEST"])
def test_other_tools_names_of_the_test_split_are_known(tmp_path: Path, name: str) -> None:
    root = write_folder(tmp_path / "d")
    (root / "test").rename(root / "moved")
    (root / "moved").rename(root / name)
    dataset = open_dataset(str(root), "test")
    assert len(dataset.labels) == 18 and dataset.notes == ()


def test_an_unlabelled_test_folder_does_not_hide_a_labelled_one(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "test").rename(root / "val")
    (root / "test").mkdir()
    Image.new("RGB", (8, 8)).save(root / "test" / "1.jpg")
    dataset = open_dataset(str(root), "test")
    assert len(dataset.labels) == 18
    assert dataset.notes == (f"{root}/test: holds 0 class folders; left out",)
    assert len(open_dataset(str(root), "train").labels) == 48


@pytest.mark.parametrize(
    "layout", ["train/CLASS", "CLASS", "train/CLASS beside an unlabelled test"]
)
def test_without_a_test_split_every_fifth_image_is_held_out(tmp_path: Path, layout: str) -> None:
    root = write_folder(tmp_path / "d", train=11)
    shutil.rmtree(root / "test")
    if layout == "CLASS":
        root = root / "train"
    if layout.endswith("test"):
        (root / "test").mkdir()
        Image.new("RGB", (8, 8)).save(root / "test" / "1.jpg")
    train, test = open_dataset(str(root), "train"), open_dataset(str(root), "test")
    assert train.classes == test.classes == ("0", "1", "2")
    assert [list(test.labels).count(label) for label in range(3)] == [2, 2, 2]
    assert [list(train.labels).count(label) for label in range(3)] == [9, 9, 9]
    pixels = [np.asarray(d.image(i)).tobytes() for d in (train, test) for i in range(len(d.labels))]
    assert len(set(pixels)) == 33
    line = (
        f"{root}: no labelled test split: 6 of 33 images, every fifth of each class, are held out"
    )
    assert any(note.startswith(line) for note in train.notes)
    assert any(note.startswith(line) for note in test.notes)


def test_a_class_of_one_image_cannot_be_held_out_from(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", train=3) / "train"
    for path in sorted((root / "1").iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match="one image of a class to hold out from: 1;"):
        open_dataset(str(root), "train")


def test_a_folder_as_systems_and_notebooks_leave_it_is_read_and_counted(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", train=4)
    before = open_dataset(str(root), "train")
    assert before.notes == ()
    place, copy = root / "train" / "0", next((root / "train" / "0").iterdir())
    for hidden in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        for parent in (root, root / "train", place):
            (parent / hidden).mkdir()
            shutil.copy(copy, parent / hidden / "copy.png")
    (root / "train" / "labels.csv").write_text("0000.png,0")
    (place / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (place / "._0000.png").write_bytes(b"\x00\x05\x16\x07")
    (place / "README.txt").write_text("digits")
    (place / "empty.png").touch()
    (place / "photo.png.crdownload").write_bytes(copy.read_bytes())
    (place / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (place / "gone.png").symlink_to(place / "nowhere.png")
    os.mkfifo(place / "pipe.png")
    after = open_dataset(str(root), "train")
    assert (after.labels, after.classes) == (before.labels, before.classes)
    assert after.notes == (
        f"{root}/train: 12 files left out: 1 empty (empty.png), "
        "5 hidden or of the operating system (._0000.png, copy.png, copy.png …), "
        "1 in a format that is not read: convert them to JPEG (phone.HEIC), "
        "1 links to nothing (gone.png), 2 not a photo (README.txt, pipe.png), "
        "1 unfinished downloads (photo.png.crdownload), 1 in no class folder (labels.csv)",
    )


SUFFIXES = {
    ".JPG": "JPEG", ".jfif": "JPEG", ".jpe": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP",
    ".bmp": "BMP", ".dib": "BMP", ".pgm": "PPM", ".pbm": "PPM", ".ppm": "PPM", ".tif": "TIFF",
    ".TIFF": "TIFF", ".gif": "GIF", ".jp2": "JPEG2000", ".avif": "AVIF", "": "PNG", ".1": "JPEG",
}  # fmt: skip


def test_every_suffix_of_a_readable_format_is_known_in_any_case(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", train=1)
    for label in ("0", "1", "2"):
        for number, (suffix, format) in enumerate(SUFFIXES.items()):
            image = Image.effect_noise((64, 64), 50)
            image = image.convert({".pbm": "1", ".ppm": "RGB", ".avif": "RGB"}.get(suffix, "L"))
            image.save(root / "train" / label / f"n{number}{suffix}", format)
    dataset = open_dataset(str(root), "train")
    assert list(dataset.labels).count(1) == 1 + len(SUFFIXES) and dataset.notes == ()
    assert all(dataset.image(i).mode == "RGB" for i in range(len(dataset.labels)))


def test_links_to_photos_and_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "train" / "2").rename(tmp_path / "elsewhere")
    (root / "train" / "2").symlink_to(tmp_path / "elsewhere")
    first = next((root / "train" / "0").iterdir())
    first.rename(tmp_path / "one.png")
    first.symlink_to(tmp_path / "one.png")
    (root / "train" / "1" / "more").symlink_to(root / "train" / "1")
    (root / "train" / "1" / "self").symlink_to(root / "train" / "1" / "self")
    dataset = open_dataset(str(root), "train")
    assert [list(dataset.labels).count(label) for label in range(3)] == [16, 16, 16]


def test_names_of_classes_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "train" / "0").rename(root / "train" / "caf\u00e9")
    (root / "test" / "0").rename(root / "test" / "cafe\u0301")
    train, test = open_dataset(str(root), "train"), open_dataset(str(root), "test")
    assert train.classes == test.classes == ("1", "2", "caf\u00e9")


def test_a_class_whose_images_are_all_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    (root / "train" / "phone").mkdir()
    (root / "train" / "phone" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    line = r"without an image: phone \(.*1 in a format that is not read.*1\.heic"
    with pytest.raises(UserError, match=line):
        open_dataset(str(root), "train")


def test_a_page_or_a_heic_photo_under_the_suffix_of_a_photo_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    names = {"a.jpg": b"<!DOCTYPE html>", "b.jpg": b"\0\0\0\x18ftypheic\0\0\0\0"}
    lines = {"a.jpg": "is not a photo", "b.jpg": "is a HEIC photo, which is not read; save it as"}
    for name, data in names.items():
        path = root / "train" / "0" / name
        path.write_bytes(data)
        dataset = open_dataset(str(root), "train")
        with pytest.raises(UserError, match=rf"{name}: {lines[name]}"):
            for index in range(len(dataset.labels)):
                dataset.image(index)
        path.unlink()


def test_a_truncated_jpeg_is_named_when_it_is_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d")
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole)
    broken = root / "train" / "0" / "0000.jpg"
    broken.write_bytes(whole.read_bytes()[:300])
    dataset = open_dataset(str(root), "train")
    with pytest.raises(UserError, match=r"0000\.jpg: "):
        for index in range(len(dataset.labels)):
            dataset.image(index)


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "P", "LA"])
def test_images_of_any_pixel_format_become_rgb(tmp_path: Path, mode: str) -> None:
    root = write_folder(tmp_path / "d")
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    if mode == "I;16":
        image = Image.fromarray(grey)
    else:
        image = Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB").convert(mode)
    path = root / "train" / "0" / f"0000{'.jpg' if mode == 'CMYK' else '.png'}"
    image.save(path)
    dataset = open_dataset(str(root), "train")
    read = np.asarray(dataset.image(0))
    assert read.shape == (64, 64, 3)
    assert (
        abs(
            float(read.mean())
            - float((grey / 257).mean() if mode == "I;16" else (grey >> 8).mean())
        )
        < 3
    )


def flat_validation(root: Path, place: str) -> tuple[Path, list[tuple[str, str]]]:
    """Move a folder's test images into one folder, as ImageNet's validation images are published;
    return it, and each file's name with its class."""
    write_folder(root)
    flat = root / place
    flat.mkdir(parents=True)
    rows = []
    for number, path in enumerate(sorted((root / "test").rglob("*.png"))):
        label = path.parent.name
        path.rename(flat / f"val_{number}.png")
        rows.append((f"val_{number}.png", label))
    shutil.rmtree(root / "test")
    return flat, rows


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tiny_imagenets_validation_images_have_the_classes_of_their_table(
    tmp_path: Path, newline: str
) -> None:
    root = tmp_path / "tiny-imagenet-200"
    flat, rows = flat_validation(root, "val/images")
    lines = [f"{name}\t{label}\t0\t32\t44\t62" for name, label in rows]
    (flat.parent / "val_annotations.txt").write_bytes(newline.join([*lines, ""]).encode())
    (root / "test" / "images").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "test" / "images" / "test_0.png")
    test = open_dataset(str(root), "test")
    assert test.classes == open_dataset(str(root), "train").classes
    assert [test.classes[label] for label in test.labels] == sorted(label for _, label in rows)
    assert test.notes == (f"{root}/test: holds 1 class folders; left out",)


def test_imagenet_as_kaggle_has_it_is_read(tmp_path: Path) -> None:
    root = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    _, rows = flat_validation(root, "val")
    lines = [f"{name.removesuffix('.png')},{label} 1 2 3 4 {label} 5 6 7 8" for name, label in rows]
    table = tmp_path / "LOC_val_solution.csv"
    table.write_text("\n".join(["ImageId,PredictionString", *lines]))
    test, train = open_dataset(str(root), "test"), open_dataset(str(root), "train")
    assert train.classes == test.classes and len(train.labels) == 48 and train.notes == ()
    assert [test.classes[label] for label in test.labels] == sorted(label for _, label in rows)
    assert test.notes == ()


def test_images_that_the_table_does_not_name_are_left_out_and_counted(tmp_path: Path) -> None:
    flat, rows = flat_validation(tmp_path / "d", "val/images")
    (flat.parent / "val_annotations.txt").write_text(
        "\n".join(f"{name}\t{label}" for name, label in rows[1:])
    )
    test = open_dataset(str(tmp_path / "d"), "test")
    assert len(test.labels) == len(rows) - 1
    assert test.notes == (
        f"{flat.parent}: 1 file left out: 1 not in val_annotations.txt (val_0.png)",
    )


def test_a_table_with_an_endless_line_is_one_line(tmp_path: Path) -> None:
    flat, _ = flat_validation(tmp_path / "d", "val/images")
    (flat.parent / "val_annotations.txt").write_text("x" * 200_000)
    with pytest.raises(UserError, match="is no table: field larger than field limit"):
        open_dataset(str(tmp_path / "d"), "test")


@pytest.mark.parametrize("line", ["val_1.png", "\t2", "val_1.png\t ", '"\x00'])
def test_a_line_without_a_class_is_named(tmp_path: Path, line: str) -> None:
    flat, rows = flat_validation(tmp_path / "d", "val/images")
    name, label = rows[0]
    (flat.parent / "val_annotations.txt").write_text(f"{name}\t{label}\n{line}\n")
    with pytest.raises(UserError, match=r"val_annotations\.txt: line 2 has no image and class"):
        open_dataset(str(tmp_path / "d"), "test")


def test_a_table_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    flat, _ = flat_validation(tmp_path / "d", "val/images")
    (flat.parent / "val_annotations.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        UserError, match="the table of classes cannot be read: line 1 is not UTF-16"
    ):
        open_dataset(str(tmp_path / "d"), "test")
