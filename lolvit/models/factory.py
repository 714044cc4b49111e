"""Create a model by name, and get its input size, preprocessing, parameters and multiply-adds."""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models.dense import DENSE_TASKS, create_dense
from lolvit.models.modes import eval_mode
from lolvit.models.names import resolve_name
from lolvit.registry import choose

CLASSIFICATION = "classification"


def create_model(
    name: str,
    num_classes: int | None = None,
    in_chans: int = 3,
    features_only: bool = False,
    out_indices: tuple[int, ...] | None = None,
    drop_path: float = 0.0,
    task: str = CLASSIFICATION,
) -> nn.Module:
    """Return a model with random weights: a variant, a baseline (`mobilevit_xs`) or `timm/NAME`.

    With `features_only` it returns a list of maps, strides 4, 8, 16, 32 (`out_indices` picks some).
    With `task` "detection" it returns a dict of `boxes` (B, 4, N) and `scores` (B, num_classes, N),
    with "segmentation" of `logits` (B, num_classes, H/8, W/8): see `lolvit.tasks`.

    Raises:
        UserError: the name is unknown, or the model has no such option.
    """
    if choose("task", task, (CLASSIFICATION, *DENSE_TASKS)) != CLASSIFICATION:
        if features_only or out_indices is not None:
            raise UserError(f"features_only is no option of a model for {task}", where=name)
        return create_dense(name, resolve_name(name), task, num_classes, in_chans, drop_path)
    options: dict[str, Any] = {"in_chans": in_chans}
    if num_classes is not None:
        options["num_classes"] = num_classes
    if features_only:
        options["features_only"] = True
    if out_indices is not None:
        options["out_indices"] = out_indices
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        model: nn.Module = timm.create_model(resolve_name(name), pretrained=False, **options)
    except (TypeError, RuntimeError, AssertionError, ValueError, IndexError) as error:
        raise UserError(
            f"cannot be created: {error}", where=name, remedy="leave out the unsupported option"
        ) from error
    return model


def task_of_model(model: nn.Module) -> str:
    """Return the task that a model was created for."""
    return str(getattr(model, "task", CLASSIFICATION))


def default_size(name: str, task: str | None = None) -> tuple[int, int]:
    """Return a model's default input size for a task, (height, width) in pixels.

    Raises:
        UserError: the name is unknown.
    """
    if task in DENSE_TASKS:
        return DENSE_TASKS[task].size
    config = timm.models.get_pretrained_cfg(resolve_name(name))
    assert config is not None  # resolve_name knows only models that have one
    _, height, width = config.input_size
    return height, width


def preprocessing_of(model: nn.Module, size: tuple[int, int]) -> Preprocessing:
    """Return the preprocessing of a timm model at `size`, (height, width) in pixels."""
    config = resolve_model_data_config(model)
    interpolation = config["interpolation"]
    if task_of_model(model) in DENSE_TASKS:  # a crop would lose objects
        return Preprocessing(
            size=size,
            resize="stretch",
            crop_pct=1.0,
            interpolation="bilinear",
            mean=config["mean"],
            std=config["std"],
        )
    return Preprocessing(
        size=size,
        crop_pct=config["crop_pct"],
        interpolation=interpolation if interpolation in ("bicubic", "bilinear") else "bicubic",
        mean=config["mean"],
        std=config["std"],
    )


def parameters_of(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs_of(model: nn.Module, size: tuple[int, int] = (256, 256), in_chans: int = 3) -> int:
    """Return multiply-adds of convolutions and matrix products for one image (1, in_chans, *size).

    Attention is included: it is counted in its decomposed form, because torch does not count the
    fused CPU kernel.
    """
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    image = torch.zeros(1, in_chans, *size, dtype=dtype)
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with eval_mode(model), torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops() // 2)
