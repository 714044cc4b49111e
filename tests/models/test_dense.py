"""Detectors and segmentation models on any backbone: shapes, budgets, checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lolvit.errors import UserError
from lolvit.models import VARIANTS, create_model, macs_of
from lolvit.models.checkpoint import read_state, save_checkpoint
from lolvit.models.dense import DENSE_TASKS, MAX_HEAD_SHARE, DenseModel, backbone_state
from lolvit.models.factory import preprocessing_of
from lolvit.models.loading import load_checkpoint, rebuild_model

TIMM = "timm/mobilenetv4_conv_small"


def dense(name: str, task: str, classes: int | None = None) -> DenseModel:
    torch.manual_seed(0)
    model = create_model(name, classes, task=task)
    assert isinstance(model, DenseModel)
    return model


@pytest.mark.parametrize("task", sorted(DENSE_TASKS))
@pytest.mark.parametrize("name", [*VARIANTS, "mobilevit_xxs", TIMM])
def test_a_head_stays_within_its_share_of_the_backbone(name: str, task: str) -> None:
    model, size = dense(name, task), DENSE_TASKS[task].size
    backbone = macs_of(model.backbone, size)
    assert 0 < macs_of(model, size) - backbone <= MAX_HEAD_SHARE * backbone


@pytest.mark.parametrize(
    "name",
    [
        "lolvit_xx", "mobilevit_xxs", TIMM,
        "timm/dla34",  # its maps begin with stride 2
        "timm/mambaout_femto",  # channels last
    ],
)  # fmt: skip
def test_boxes_and_scores_are_two_outputs_of_all_points(name: str) -> None:
    model = dense(name, "detection", 7).eval()
    with torch.no_grad():
        found = model(torch.rand(2, 3, 64, 96))
    points = 8 * 12 + 4 * 6 + 2 * 3
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "boxes": (2, 4, points),
        "scores": (2, 7, points),
    }
    assert (found["boxes"] >= 0).all()
    assert (found["scores"] > 0).all() and (found["scores"] < 0.1).all()  # the prior


@pytest.mark.parametrize("name", ["lolvit_xx", "mobilevit_xxs", TIMM])
def test_logits_of_segmentation_are_at_stride_8(name: str) -> None:
    model = dense(name, "segmentation", 7)
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        assert {k: tuple(v.shape) for k, v in model.eval()(image).items()} == {
            "logits": (2, 7, 8, 12)
        }
        assert {k: tuple(v.shape) for k, v in model.train()(image).items()} == {
            "logits": (2, 7, 8, 12),
            "auxiliary": (2, 7, 4, 6),
        }


@pytest.mark.parametrize("task", sorted(DENSE_TASKS))
def test_a_gradient_reaches_every_parameter(task: str) -> None:
    model = dense("lolvit_xx", task, 3).train()
    found = model(torch.rand(2, 3, 64, 64))
    torch.stack([value.square().mean() for value in found.values()]).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_baselines_leave_out_the_expansion_for_their_classifier() -> None:
    model = dense("mobilevit_xs", "detection")
    assert [int(layer.conv.in_channels) for layer in model.head.laterals] == [64, 80, 96]  # type: ignore[union-attr]


def test_a_stretched_photo_is_the_preprocessing() -> None:
    found = preprocessing_of(dense("lolvit_x", "detection"), (320, 320))
    assert (found.resize, found.crop_pct) == ("stretch", 1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lolvit_xx", {"task": "pose"}, "task"),
        ("lolvit_xx", {"task": "detection", "num_classes": 0}, "at least one class"),
        ("lolvit_xx", {"task": "detection", "features_only": True}, "features_only"),
        ("timm/vit_tiny_patch16_224", {"task": "detection"}, "strides 8, 16, 32"),
        ("timm/efficientformer_l1", {"task": "segmentation"}, "does not run on a 384x640"),
    ],
)
def test_what_a_model_can_not_be_is_one_line(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        create_model(name, **options)  # type: ignore[arg-type]


def test_an_image_whose_sides_are_no_multiples_of_32_is_an_error() -> None:
    with pytest.raises(ValueError, match="72x64, no multiple of 32"):
        dense("lolvit_xx", "detection")(torch.rand(1, 3, 72, 64))


@pytest.mark.parametrize("task", sorted(DENSE_TASKS))
def test_a_checkpoint_records_task_labels_and_colours(task: str, tmp_path: Path) -> None:
    model = dense("lolvit_xx", task, 2)
    path = tmp_path / "model.safetensors"
    config = {
        "model": "lolvit_xx", "task": task, "num_classes": 2, "labels": ["a", "b"],
        "colors": ["#ff0000", "#00ff00"],
        "preprocessing": preprocessing_of(model, (64, 96)).model_dump(),
    }  # fmt: skip
    save_checkpoint(model, path, config)
    loaded = load_checkpoint("lolvit_xx", path)
    assert (loaded.task, loaded.labels(), loaded.colors()) == (
        task, ("a", "b"), ("#ff0000", "#00ff00"),
    )  # fmt: skip
    assert loaded.preprocessing().resize == "stretch"
    rebuilt = rebuild_model("lolvit_xx", 2, read_state(path)[0], "here", task=task)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for name, expected in model.eval()(image).items():
            torch.testing.assert_close(loaded.model(image)[name], expected)
            torch.testing.assert_close(rebuilt(image)[name], expected)


def test_a_backbone_for_one_image_size_is_built_and_restored_for_that_of_the_model(
    tmp_path: Path,
) -> None:
    name, size = "timm/visformer_tiny", (96, 128)
    model = create_model(name, 2, task="segmentation", size=size)
    path = tmp_path / "model.safetensors"
    config = {
        "model": name, "task": "segmentation", "num_classes": 2,
        "preprocessing": preprocessing_of(model, size).model_dump(),
    }  # fmt: skip
    save_checkpoint(model, path, config)
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        expected = model.eval()(image)["logits"]
        restored = load_checkpoint(name, path).model(image)["logits"]
    assert expected.shape == (1, 2, 12, 16)
    torch.testing.assert_close(restored, expected)
    with pytest.raises(UserError, match="is built for 96x128 pixels, not 64x64"):
        load_checkpoint(name, path, size=(64, 64))


@pytest.mark.parametrize("name", ["lolvit_xx", "mobilevit_xxs", "timm/resnet18"])
def test_a_classifiers_weights_fit_the_backbone(name: str) -> None:
    classifier = create_model(name)
    model = dense(name, "detection", 3)
    found = backbone_state(model, classifier.state_dict())
    assert set(found) == set(model.backbone.state_dict())
