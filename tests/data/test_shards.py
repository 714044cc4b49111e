"""WebDataset shards, and data sets of Hugging Face's library saved to disk."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit_data.table import open_dataset
from tests.data.images import add_member, few_digits, write_shards


def test_shards_hold_the_images_that_were_written(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_shards(tmp_path / "s")), "train")
    written = few_digits("train", 8)
    dealt = written[0::2] + written[1::2]
    assert [str(label) for label in dataset.labels] == [name for name, _ in dealt]
    assert dataset.classes == ("0", "1", "2")
    for index, (_, image) in enumerate(dealt):
        assert np.array_equal(np.asarray(dataset.image(index)), np.asarray(image))


def test_names_of_classes_come_from_their_file(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s")
    (root / "classes.txt").write_text("zero\none\ntwo\n")
    assert open_dataset(str(root), "test").classes == ("zero", "one", "two")


def test_a_label_file_that_does_not_match_is_an_error(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s")
    (root / "classes.txt").write_text("zero\none\n")
    with pytest.raises(UserError, match="names 2 classes, the labels go up to 2"):
        open_dataset(str(root), "test")


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s")
    path = root / "train-000001.tar"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UserError, match=r"train-000001\.tar"):
        open_dataset(str(root), "train")


def test_a_sample_without_a_class_is_named(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s")
    with tarfile.open(root / "train-000000.tar", "a") as archive:
        archive.add(__file__, "zzz.png")
    with pytest.raises(UserError, match=r"zzz\.png: has no class; add KEY\.cls"):
        open_dataset(str(root), "train")


@pytest.mark.parametrize("label", [b"99999999999", b"9" * 5000, b"-2", b"\xff", b"1e3"])
def test_a_class_number_that_is_none_or_too_large_is_named(tmp_path: Path, label: bytes) -> None:
    root = write_shards(tmp_path / "s")
    with tarfile.open(root / "train-000000.tar", "a") as archive:
        add_member(archive, "zzz.cls", label)
    with pytest.raises(UserError, match=r"zzz\.cls: holds no class number"):
        open_dataset(str(root), "train")


def test_compressed_content_under_the_name_of_a_tar_file_is_named(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "s")
    path = root / "train-000000.tar"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UserError, match=r"train-000000\.tar: not a tar file"):
        open_dataset(str(root), "train")


def rename(root: Path, names: dict[str, str]) -> Path:
    """Rename each shard, `train-000000.tar` to `names["train"].format("000000")`."""
    for path in sorted(root.glob("*.tar")):
        split, _, number = path.stem.partition("-")
        target = root / names[split].format(number)
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    return root


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("imagenet1k-train-{}.tar", "imagenet1k-validation-{}.tar"),
        ("train/{}.tar", "val/{}.tar"),
        ("digits_Train_{}.TAR", "digits_Test_{}.TAR"),
    ],
)
def test_shards_are_found_by_the_names_that_other_tools_give(
    tmp_path: Path, train: str, test: str
) -> None:
    root = rename(write_shards(tmp_path / "s"), {"train": train, "test": test})
    assert len(open_dataset(str(root), "train").labels) == 24
    assert len(open_dataset(str(root), "test").labels) == 12


def test_every_fifth_image_of_shards_without_splits_is_held_out(tmp_path: Path) -> None:
    root = rename(write_shards(tmp_path / "s"), {"train": "{}.tar", "test": "more-{}.tar"})
    train, test = open_dataset(str(root), "train"), open_dataset(str(root), "test")
    assert (len(train.labels), len(test.labels)) == (30, 6)
    assert "no labelled test split: 6 of 36 images" in test.notes[-1]


def test_compressed_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "train-000000.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(UserError, match=r"train-000000\.tar\.gz: is compressed.*decompress it"):
        open_dataset(str(tmp_path), "train")


@pytest.mark.parametrize("text", ["-1", "", "None"])
def test_samples_that_are_marked_as_unlabelled_are_left_out_and_counted(
    tmp_path: Path, text: str
) -> None:
    root = write_shards(tmp_path / "s")
    whole = open_dataset(str(root), "train")
    with tarfile.open(root / "train-000001.tar", "a") as archive:
        for number in range(3):
            image = io.BytesIO()
            few_digits("test", 1)[0][1].save(image, "png")
            add_member(archive, f"zz{number}.png", image.getvalue())
            add_member(archive, f"zz{number}.cls", text.encode())
            add_member(archive, f"._zz{number}.png", b"\x00\x05\x16\x07")
    dataset = open_dataset(str(root), "train")
    assert dataset.labels == whole.labels
    where = f"{root}: train shards"
    assert dataset.notes == (f"{where}: 3 of 27 images have no label and are left out",)


def save_rows(folder: Path, labels: dict[str, list[int | None]]) -> str:
    """Save rows with these labels as Hugging Face's library does; return the reference."""
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["0", "1", "2"])}
    )
    splits = {}
    for split, column in labels.items():
        pairs = few_digits("train", -(-len(column) // 3))[: len(column)]
        columns = {"image": [image for _, image in pairs], "label": column}
        splits[split] = datasets.Dataset.from_dict(columns, features=features)
    saved = splits[""] if list(splits) == [""] else datasets.DatasetDict(splits)
    saved.save_to_disk(str(folder))
    return f"hf:{folder}"


def test_a_saved_hugging_face_data_set_is_read(tmp_path: Path) -> None:
    source = save_rows(tmp_path / "hf", {"train": [0, 1, 2], "test": [0] * 3 + [1] * 3 + [2] * 3})
    for reference in (source, source.removeprefix("hf:")):
        dataset = open_dataset(reference, "test")
        assert dataset.classes == ("0", "1", "2") and dataset.notes == ()
        for index, (_, image) in enumerate(few_digits("train", 3)):
            assert dataset.labels[index] == index // 3
            assert np.array_equal(np.asarray(dataset.image(index)), np.asarray(image))


@pytest.mark.parametrize("missing", [-1, None])
def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path, missing: int | None) -> None:
    labels = {"train": [0, missing, 1, 2, missing, 1], "test": [0, 1, 2]}
    dataset = open_dataset(save_rows(tmp_path / "hf", labels), "train")
    assert tuple(dataset.labels) == (0, 1, 2, 1)
    assert dataset.notes == (
        f"{tmp_path / 'hf'}, split train: 2 of 6 images have no label and are left out",
    )
    images = [image for _, image in few_digits("train", 2)]
    for index, row in enumerate((0, 2, 3, 5)):
        assert np.array_equal(np.asarray(dataset.image(index)), np.asarray(images[row]))


def test_an_unlabelled_test_split_is_replaced_by_a_labelled_one(tmp_path: Path) -> None:
    labels = {"train": [0, 1, 2], "test": [-1] * 6, "validation": [2, 1, 0]}
    dataset = open_dataset(save_rows(tmp_path / "hf", labels), "test")
    assert tuple(dataset.labels) == (2, 1, 0)
    assert dataset.notes[0].endswith("split test: none of its 6 images has a label; left out")


def test_where_no_test_split_is_labelled_training_rows_are_held_out(tmp_path: Path) -> None:
    labels = {"train": [0, 1, 2] * 5, "test": [None] * 6}
    source = save_rows(tmp_path / "hf", labels)
    train, test = open_dataset(source, "train"), open_dataset(source, "test")
    assert (sorted(train.labels), sorted(test.labels)) == ([0] * 4 + [1] * 4 + [2] * 4, [0, 1, 2])
    assert "none of its 6 images has a label" in train.notes[0]
    assert "3 of 15 images, every fifth of each class, are held out" in train.notes[1]


def test_a_training_split_without_any_label_is_refused(tmp_path: Path) -> None:
    source = save_rows(tmp_path / "hf", {"train": [-1] * 6, "test": [0, 1, 2]})
    with pytest.raises(UserError, match=r"split train: none of its 6 images has a label"):
        open_dataset(source, "train")


def test_a_saved_data_set_without_splits_is_read(tmp_path: Path) -> None:
    source = save_rows(tmp_path / "hf", {"": [0, 1, 2] * 5})
    assert sorted(open_dataset(source, "test").labels) == [0, 1, 2]


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], ["ant", "bee", "cat", "bee"]], ids=str)
def test_parquet_files_of_other_tools_are_read(
    tmp_path: Path, labels: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import pyarrow
    from pyarrow import parquet

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pairs = few_digits("train", 2)[:4]
    encoded = []
    for _, image in pairs:
        stream = io.BytesIO()
        image.save(stream, "png")
        encoded.append({"bytes": stream.getvalue(), "path": None})
    table = pyarrow.table({"image": encoded, "label": labels})
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        parquet.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    dataset = open_dataset(str(tmp_path), "train")
    assert tuple(dataset.labels) == (0, 1, 2, 1)
    assert dataset.classes == (("ant", "bee", "cat") if labels[0] == "ant" else ("0", "1", "2"))
    for index, (_, image) in enumerate(pairs):
        assert np.array_equal(np.asarray(dataset.image(index)), np.asarray(image))


def test_a_hub_reference_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no/such: cannot be loaded"):
        open_dataset("hf:no/such", "train")
