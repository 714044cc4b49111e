"""Detectors and segmentation models: a timm backbone's maps at strides 8, 16 and 32, and a head."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lolvit.errors import UserError
from lolvit.models.heads.detection import DetectionHead
from lolvit.models.heads.segmentation import SegmentationHead
from lolvit.models.modes import eval_mode
from lolvit.variants import VARIANTS

STRIDES = (8, 16, 32)
# The head does at most this share of the backbone's multiply-adds; otherwise a speedup over a
# baseline with the same head would be the head's.
MAX_HEAD_SHARE = 0.3
_WIDTHS = (96, 64, 48, 32)  # for backbones that are no variant or baseline
_HEAD_WIDTHS = {
    name: variant.head_width
    for variant in VARIANTS.values()
    for name in (variant.name, variant.baseline)
}
# timm's last map of these has the expansion for their classifier, which MobileViT's own detectors
# and segmentation models leave out.
_EXPANSION = "final_conv"


@dataclass(frozen=True)
class DenseTask:
    """The head of a task, its default number of classes and image size (height, width)."""

    head: type[DetectionHead] | type[SegmentationHead]
    num_classes: int
    size: tuple[int, int]


# COCO's and BDD100K's classes.
DENSE_TASKS = {
    "detection": DenseTask(DetectionHead, 80, (320, 320)),
    "segmentation": DenseTask(SegmentationHead, 19, (384, 640)),
}


class DenseModel(nn.Module):
    """A backbone with a head. The image's sides are multiples of 32.

    `task`, `num_classes` and `default_cfg` are as of a timm model.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, task: str, num_classes: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.task, self.num_classes = task, num_classes
        self.pretrained_cfg = self.default_cfg = dict(backbone.default_cfg)  # type: ignore[arg-type]

    @property
    def class_layers(self) -> tuple[str, ...]:
        """The names of the layers whose shapes depend on the number of classes."""
        return tuple(f"head.{layer}" for layer in DENSE_TASKS[self.task].head.class_layers)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image (B, in_chans, H, W) -> the head's outputs by name.

        Raises:
            ValueError: a side is no multiple of 32.
        """
        if image.shape[2] % STRIDES[-1] or image.shape[3] % STRIDES[-1]:
            raise ValueError(
                f"the image is {image.shape[2]}x{image.shape[3]}, no multiple of {STRIDES[-1]}"
            )
        outputs: dict[str, Tensor] = self.head(feature_maps(self.backbone, image))
        return outputs


def create_dense(
    name: str,
    bare: str,
    task: str,
    num_classes: int | None,
    in_chans: int,
    drop_path: float,
    size: tuple[int, int] | None = None,
) -> DenseModel:
    """Return a model of `task` on the backbone `bare`, as timm names it. `size`, (height, width),
    is that of the images, by default the task's: some backbones are built for one.

    Raises:
        UserError: the backbone has no maps at strides 8, 16 and 32.
    """
    entry = DENSE_TASKS[task]
    classes = entry.num_classes if num_classes is None else num_classes
    if classes < 1:
        raise UserError(f"a model for {task} has at least one class, not {classes}", where=name)
    fixed = timm.models.get_pretrained_cfg_value(bare, "fixed_input_size")
    built_for = (size or entry.size) if fixed else None
    backbone, channels = _backbone(name, bare, in_chans, drop_path, built_for)
    width = _HEAD_WIDTHS.get(bare) or _width_within_budget(
        backbone, channels, entry, in_chans, built_for or entry.size
    )
    return DenseModel(backbone, entry.head(channels, width, classes), task, classes)


def _backbone(
    name: str, bare: str, in_chans: int, drop_path: float, built_for: tuple[int, int] | None
) -> tuple[nn.Module, list[int]]:
    """Return a model that gives the three maps, and their channels."""
    options: dict[str, Any] = {"in_chans": in_chans, "pretrained": False, "features_only": True}
    if drop_path:
        options["drop_path_rate"] = drop_path
    if built_for is not None:
        options["img_size"] = built_for
    try:
        info: Any = timm.create_model(bare, **options).feature_info
        last = dict(zip(info.reduction(), info.out_indices, strict=True))
        picked = tuple(last[stride] for stride in STRIDES)
        backbone: nn.Module = timm.create_model(bare, out_indices=picked, **options)
    except (TypeError, RuntimeError, AssertionError, ValueError, KeyError, IndexError) as error:
        raise UserError(
            f"has no feature maps at strides {', '.join(map(str, STRIDES))}", where=name,
            remedy="choose a convolutional or hierarchical model",
        ) from error  # fmt: skip
    if bare in _HEAD_WIDTHS and hasattr(backbone, _EXPANSION):
        setattr(backbone, _EXPANSION, nn.Identity())
    return backbone, _channels(name, backbone, in_chans, built_for)


def feature_maps(backbone: nn.Module, image: Tensor) -> list[Tensor]:
    """Return a backbone's maps, (B, C, H, W): some of timm's have their channels last."""
    found = backbone(image)
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return [each.permute(0, 3, 1, 2) for each in found]
    return list(found)


def _channels(
    name: str, backbone: nn.Module, in_chans: int, built_for: tuple[int, int] | None
) -> list[int]:
    height, width = built_for or (2 * STRIDES[-1], 2 * STRIDES[-1])
    try:
        with eval_mode(backbone), torch.no_grad():
            found = feature_maps(backbone, torch.zeros(1, in_chans, height, width))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"does not run on a {height}x{width} image: {str(error).splitlines()[0]}", where=name,
            remedy="choose a model that takes images of any size",
        ) from error  # fmt: skip
    shapes = [tuple(x.shape[2:]) for x in found]
    if shapes != [(height // stride, width // stride) for stride in STRIDES]:
        raise UserError(
            f"its maps of a {height}x{width} image are {shapes}, not (height, width) at strides"
            f" {', '.join(map(str, STRIDES))}", where=name,
            remedy="choose a model with maps at these strides",
        )  # fmt: skip
    return [int(x.shape[1]) for x in found]


def _width_within_budget(
    backbone: nn.Module,
    channels: list[int],
    entry: DenseTask,
    in_chans: int,
    size: tuple[int, int],
) -> int:
    """Return the widest head within `MAX_HEAD_SHARE`, with the task's default classes."""
    image = torch.zeros(1, in_chans, *size, device="meta")
    inputs = [
        torch.zeros(1, c, size[0] // s, size[1] // s, device="meta")
        for c, s in zip(channels, STRIDES, strict=True)
    ]
    budget = MAX_HEAD_SHARE * _operations(backbone, image)
    for width in _WIDTHS:
        if _operations(entry.head(channels, width, entry.num_classes), inputs) <= budget:
            return width
    return _WIDTHS[-1]


def _operations(module: nn.Module, given: Any) -> int:
    shadow = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(given)
    return int(counter.get_total_flops())


def backbone_state(model: DenseModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the part of a classifier's state dict that its backbone has, under its names: timm's
    feature models name `stages.0` `stages_0`."""
    found = {}
    for name, own in model.backbone.state_dict().items():
        alias = re.sub(r"^([a-z_]+)_(\d+)\.", r"\1.\2.", name)
        tensor = state.get(name, state.get(alias))
        if tensor is not None and tensor.shape == own.shape:
            found[name] = tensor
    return found
