"""Maps of classes from logits, against torch, and how two sets are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lolvit.errors import DeviceError
from lolvit.placement import Placement
from lolvit.tasks import Model
from lolvit.tasks.segmentation import TASK
from lolvit.upsampling import upsample

SIZE, CLASSES = (64, 96), 6
TASK_64 = TASK.configure(SIZE, {})
Outputs = dict[str, np.ndarray]


def logits_of(seed: int) -> Outputs:
    """Smooth logits, as of regions."""
    coarse = np.random.default_rng(seed).normal(0, 3, (1, CLASSES, 4, 6)).astype(np.float32)
    return {"logits": upsample(coarse[0], (8, 12))[np.newaxis]}


def test_the_map_covers_the_photo() -> None:
    outputs = logits_of(1)
    photo = Placement((150, 200), SIZE, SIZE)
    found = TASK_64.predict(outputs, Model(photo, tuple("abcdef")), {})
    assert found.classes.shape == (150, 200) and found.classes.dtype == np.uint8
    assert found.classes[75, 100] == TASK_64.decoded(outputs)[32, 48]
    assert sum(found.shares().values()) == pytest.approx(1)
    assert found.rows()[0][1] in "abcdef"


@pytest.mark.parametrize("size", [(1, 1), (4000, 5000)])
def test_a_photo_of_one_pixel_or_20_megapixels_has_a_class_at_each(size: tuple[int, int]) -> None:
    found = TASK_64.predict(logits_of(1), Model(Placement(size, SIZE, SIZE)), {})
    assert found.classes.shape == size and found.classes.max() < CLASSES
    assert found.draw(Image.new("RGB", size[::-1])).size == size[::-1]


def test_pixels_outside_of_a_crop_have_no_class() -> None:
    photo = Placement((90, 160), (72, 128), SIZE, (4, 16))
    found = TASK_64.predict(logits_of(1), Model(photo), {})
    assert (found.classes[:4] == 255).all() and (found.classes[:, -19:] == 255).all()
    assert (found.classes[6:-6, 21:-21] != 255).all()
    drawn = np.asarray(found.draw(Image.new("RGB", (160, 90), "white")))
    assert (drawn[0] == 255).all() and not (drawn[45] == 255).all()


def test_logits_that_are_not_finite_are_an_error() -> None:
    outputs = {"logits": np.full((1, CLASSES, 8, 12), np.inf)}
    with pytest.raises(DeviceError, match="logits are not finite"):
        TASK_64.predict(outputs, Model(Placement.whole(SIZE)), {})


def references() -> list[Outputs]:
    return [logits_of(seed) for seed in range(4)]


@pytest.mark.parametrize(("precision", "noise"), [("fp32", 1e-5), ("fp16", 0.01), ("int8", 0.05)])
def test_small_noise_agrees(precision: str, noise: float) -> None:
    generator = np.random.default_rng(0)
    noisy = [
        {"logits": each["logits"] + generator.normal(0, noise, each["logits"].shape)}
        for each in references()
    ]
    found = TASK_64.compare(references(), noisy, precision)
    assert found.value is not None and found.value >= TASK.agreement_thresholds[precision]
    assert all(metric.value >= metric.threshold for metric in found.others)


def aligned_corners(outputs: Outputs) -> Outputs:
    """A map upsampled with aligned corners: the logits of which half-pixel centres make it."""
    logits = torch.from_numpy(outputs["logits"])
    high = F.interpolate(logits, SIZE, mode="bilinear", align_corners=True)
    return {"logits": high.numpy()}


def without_a_class(outputs: Outputs) -> Outputs:
    logits = outputs["logits"].copy()
    logits[:, 2] = -100
    return {"logits": logits}


def other_labels(outputs: Outputs) -> Outputs:
    return {"logits": np.roll(outputs["logits"], 1, 1)}


def swapped_sides(outputs: Outputs) -> Outputs:
    logits = outputs["logits"]
    return {"logits": logits.transpose(0, 1, 3, 2).reshape(logits.shape)}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    "sabotage", [aligned_corners, without_a_class, other_labels, swapped_sides]
)
def test_sabotaged_outputs_fail_a_gate(sabotage: object, precision: str) -> None:
    found = TASK_64.compare(references(), [sabotage(x) for x in references()], precision)  # type: ignore[operator]
    assert found.value is not None
    others = [metric.value < metric.threshold for metric in found.others]
    assert found.value < TASK.agreement_thresholds[precision] or any(others)


CLASS_MAP = TASK.configure(SIZE, {"kind": "class_map", "num_classes": CLASSES})


def maps() -> list[Outputs]:
    return [
        {"classes": TASK_64.decoded(each).astype(np.int32)[np.newaxis]} for each in references()
    ]


def test_a_map_from_the_graph_is_used_as_it_is() -> None:
    (first, *_) = maps()
    photo = Model(Placement((150, 200), SIZE, SIZE), tuple("abcdef"))
    found = CLASS_MAP.predict(first, photo, {})
    expected = TASK_64.predict(logits_of(0), photo, {})
    assert (found.classes == expected.classes).all() and found.colors == expected.colors
    first["classes"][0, 0, 0] = CLASSES
    with pytest.raises(DeviceError, match="classes beyond 6"):
        CLASS_MAP.predict(first, photo, {})


def test_maps_of_classes_are_compared_like_logits() -> None:
    equal = CLASS_MAP.compare(maps(), maps(), "fp32")
    assert equal.value == 1 and all(metric.value == 1 for metric in equal.others)
    aligned = [TASK_64.decoded(aligned_corners(each)) for each in references()]
    found = CLASS_MAP.compare(
        maps(), [{"classes": each[np.newaxis].astype(np.int32)} for each in aligned], "int8"
    )
    assert found.value is not None and found.value < TASK.agreement_thresholds["int8"]


@pytest.mark.parametrize(
    ("shape", "dtype", "fits"),
    [((1, *SIZE), "int32", True), ((1, 64, 64), "int32", False), ((1, *SIZE), "float32", False)],
)
def test_a_map_is_recognized_by_its_size_and_dtype(
    shape: tuple[int, ...], dtype: str, fits: bool
) -> None:
    assert CLASS_MAP.recognizes([("classes", shape, dtype)]) is fits


def _with_a_share_changed(shares: list[float]) -> list[Outputs]:
    """The maps with a share of the columns of each moved to the next class."""
    changed = maps()
    for each, share in zip(changed, shares, strict=True):
        columns = round(share * SIZE[1])
        part = each["classes"][..., :columns]
        each["classes"][..., :columns] = (part + 1) % CLASSES
    return changed


@pytest.mark.parametrize(("precision", "allows"), [("fp32", False), ("int8", True)])
def test_few_images_that_differ_by_chance_lower_the_threshold_of_miou(
    precision: str, allows: bool
) -> None:
    found = CLASS_MAP.compare(maps(), _with_a_share_changed([0.2, 0, 0, 0]), precision)
    miou = next(metric for metric in found.others if metric.name == "miou")
    usual = TASK.agreement_thresholds[precision]
    assert miou.value < usual
    assert (miou.value >= miou.threshold) == allows
    assert (miou.threshold < usual) == allows


def test_what_all_images_lose_is_no_chance() -> None:
    found = CLASS_MAP.compare(maps(), _with_a_share_changed([0.2] * 4), "int8")
    miou = next(metric for metric in found.others if metric.name == "miou")
    assert miou.value < miou.threshold
    many = CLASS_MAP.compare(maps() * 100, _with_a_share_changed([0.2, 0, 0, 0]) * 100, "int8")
    miou = next(metric for metric in many.others if metric.name == "miou")
    assert miou.value < 0.92 < miou.threshold < 0.94
