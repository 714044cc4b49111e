"""WebDataset shards, and data sets of Hugging Face's library saved to disk."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from lolvit.errors import UserError
from lolvit_data.table import open_dataset
from tests.data.images import few_digits, write_shards


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


def test_a_saved_hugging_face_data_set_is_read(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["0", "1", "2"])}
    )
    splits = {}
    for split in ("train", "test"):
        pairs = few_digits(split, 3)
        columns = {"image": [image for _, image in pairs], "label": [name for name, _ in pairs]}
        splits[split] = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "hf"))
    dataset = open_dataset(f"hf:{tmp_path / 'hf'}", "test")
    assert dataset.classes == ("0", "1", "2")
    for index, (name, image) in enumerate(few_digits("test", 3)):
        assert str(dataset.labels[index]) == name
        assert np.array_equal(np.asarray(dataset.image(index)), np.asarray(image))


def test_a_hub_reference_without_a_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no/such: cannot be loaded"):
        open_dataset("hf:no/such", "train")
