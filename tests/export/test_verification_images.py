"""A detector and a segmentation model are verified on images that show their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lolvit.manifest import Manifest, Preprocessing
from lolvit.models.checkpoint import save_checkpoint
from lolvit.tasks.segmentation import SegmentationTask
from lolvit_data.annotated import open_annotated
from lolvit_data.annotations import spread
from lolvit_export.prepare import prepare
from lolvit_export.prepared import ModelOptions
from lolvit_export.verification.images import TEST_IMAGES, verification_images
from lolvit_export.verification.verification import verify
from lolvit_runtimes.preprocessing import normalize, to_pixels
from tests.export.requests import export, request

PREPROCESS = Preprocessing(size=(64, 64), crop_pct=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
DIGITS = "digit-objects"
BOTH = f"8 photos and {TEST_IMAGES} test images of {DIGITS}"


def test_the_images_are_the_photos_and_test_images_with_every_class() -> None:
    found = verification_images(PREPROCESS, "segmentation", DIGITS)
    assert (found.described, found.note) == (BOTH, f"verified on {BOTH}")
    photos = verification_images(PREPROCESS, "segmentation", None).pixels
    assert [*map(np.ndarray.tobytes, found.pixels[:8])] == [*map(np.ndarray.tobytes, photos)]
    test = open_annotated(DIGITS, "test", "segmentation")
    shown = {each.tobytes() for each in found.pixels[8:]}
    indices = [
        index
        for index in spread(len(test), 64)
        if to_pixels(test.image(index), PREPROCESS).tobytes() in shown
    ]
    classes = set.union(*(set(np.unique(test.mask(index)).tolist()) for index in indices))
    assert classes >= set(range(11))
    assert len(shown) == TEST_IMAGES


@pytest.mark.parametrize(
    ("task", "data"), [("classification", DIGITS), ("tensors", DIGITS), ("detection", None)]
)
def test_other_models_are_verified_on_the_photos_alone(task: str, data: str | None) -> None:
    found = verification_images(PREPROCESS, task, data)
    assert (len(found.pixels), found.described, found.note) == (8, "8 photos", None)


def test_data_that_is_not_here_is_named_and_the_photos_remain(tmp_path: Path) -> None:
    gone = tmp_path / "bdd100k"
    found = verification_images(PREPROCESS, "segmentation", str(gone))
    assert len(found.pixels) == 8
    assert found.note == "verified on the 8 photos alone: there are no test images of bdd100k here"


def test_data_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOLVIT_STAMPS", str(tmp_path))
    found = verification_images(PREPROCESS, "detection", "objects")
    assert len(found.pixels) == 8
    assert found.note is not None and "not on test images of objects: " in found.note
    assert "tuxpaint-stamps-default" in found.note


def test_a_class_that_is_never_chosen_is_found_on_the_test_images_and_not_on_the_photos() -> None:
    """The trained model of the package never chooses 3: its logit is a little below another one
    wherever it would be the largest, which changes few of the logits, and those hardly."""
    trained = prepare("lolvit_xx", ModelOptions(weights=Path("lolvit_xx.digits-segmentation")))
    preprocessing = trained.preprocessing
    images = verification_images(preprocessing, "segmentation", trained.data).pixels
    references = []
    with torch.no_grad():
        for image in images:
            found = trained.model(torch.from_numpy(normalize(image, preprocessing)))
            references.append({"logits": found["logits"].numpy()})
    outputs = [{"logits": without_class(4, each["logits"])} for each in references]
    task = SegmentationTask(size=preprocessing.size)
    on_photos = task.compare(references[:8], outputs[:8], "fp16")
    assert all(each.value >= each.threshold for each in on_photos.others)
    on_all = task.compare(references, outputs, "fp16")
    recall = next(each for each in on_all.others if each.name == "worst_class_recall")
    assert recall.value < recall.threshold


def without_class(index: int, logits: np.ndarray) -> np.ndarray:
    """Return logits (1, C, h, w) in which a class is nowhere the largest."""
    others = np.delete(logits, index, axis=1).max(1)
    changed = logits.copy()
    changed[:, index] = np.minimum(logits[:, index], others - 1)
    return changed


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, list[str]]:
    """A detector whose checkpoint records its data set, as ONNX, with what the export reported."""
    folder, steps = tmp_path_factory.mktemp("detector"), list[str]()
    model = prepare(
        "lolvit_xx", ModelOptions(task="detection", num_classes=10, size=(64, 64))
    )  # fmt: skip
    config = {
        "model": "lolvit_xx", "task": "detection", "num_classes": 10, "trained": True,
        "preprocess": model.preprocessing.model_dump(), "data": DIGITS,
    }  # fmt: skip
    save_checkpoint(model.model, folder / "model.safetensors", config)
    asked = request(folder / "out", weights=folder / "model.safetensors")
    return *export(asked, steps.append), steps


@pytest.mark.slow
def test_an_export_and_a_verification_name_the_images(
    exported: tuple[Path, Manifest, list[str]],
) -> None:
    folder, _, steps = exported
    assert f"verify on {BOTH}" in steps
    again: list[str] = []
    verify(folder, progress=lambda step: again.append(str(step))).raise_on_failure()
    assert f"verified on {BOTH}" in again
