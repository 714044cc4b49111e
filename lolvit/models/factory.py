"""Create a model by name, and get its input size, preprocessing, parameters and multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import timm
import torch
from pydantic import ValidationError
from timm.data import resolve_data_config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lolvit.errors import UserError
from lolvit.manifest import CHANNELS, Color, Preprocessing
from lolvit.models.dense import DENSE_TASKS, create_dense
from lolvit.models.modes import eval_mode
from lolvit.models.names import resolve_name
from lolvit.registry import choose
from lolvit.sizes import Resize

CLASSIFICATION = "classification"


def create_model(
    name: str,
    num_classes: int | None = None,
    in_chans: int = 3,
    features_only: bool = False,
    out_indices: tuple[int, ...] | None = None,
    drop_path: float = 0.0,
    task: str = CLASSIFICATION,
    size: tuple[int, int] | None = None,
    model_args: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return a model with random weights: a variant, a baseline (`mobilevit_xs`) or `timm/NAME`.

    With `features_only` it returns a list of maps, strides 4, 8, 16, 32 (`out_indices` picks some).
    With `task` "detection" it returns a dict of `boxes` (B, 4, N) and `scores` (B, num_classes, N),
    with "segmentation" of `logits` (B, num_classes, H/8, W/8): see `lolvit.tasks`.
    `size`, (height, width) in pixels, is that of the images, for a model whose size is fixed, such
    as a ViT; others take any. `model_args` are more of timm's, as configurations record them.

    Raises:
        UserError: the name is unknown, or the model has no such option.
    """
    if choose("task", task, (CLASSIFICATION, *DENSE_TASKS)) != CLASSIFICATION:
        if features_only or out_indices is not None:
            raise UserError(f"features_only is no option of a model for {task}", where=name)
        bare = resolve_name(name)
        return create_dense(name, bare, task, num_classes, in_chans, drop_path, size)
    options: dict[str, Any] = {**(model_args or {}), "in_chans": in_chans}
    known = resolve_name(name)
    if size is not None and size != default_size(name) and _has_fixed_size(known):
        options["img_size"] = size
    if num_classes is not None:
        options["num_classes"] = num_classes
    if features_only:
        options["features_only"] = True
    if out_indices is not None:
        options["out_indices"] = out_indices
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        model: nn.Module = timm.create_model(known, pretrained=False, **options)
    except (TypeError, RuntimeError, AssertionError, ValueError, IndexError) as error:
        own = "x".join(map(str, default_size(name)))
        raise UserError(
            f"cannot be created: {error}",
            where=name,
            remedy=f"choose another --size; its own is {own}"
            if "img_size" in options
            else "leave out the unsupported option",
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


def _has_fixed_size(name: str) -> bool:
    """Whether timm's model of that name is built for one image size, by the argument img_size."""
    return bool(getattr(timm.models.get_pretrained_cfg(name), "fixed_input_size", False))


def fit_size(model: nn.Module, own: tuple[int, int], size: tuple[int, int], where: str) -> None:
    """Change the image size of a model that was built for the size `own`, in place: timm
    interpolates its position embeddings. Sizes are (height, width) in pixels; a model that is not
    built for one size takes any already.

    Raises:
        UserError: timm can't change the size of this model, or not to this one.
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    if own == size or not config.get("fixed_input_size"):
        return
    change: Any = getattr(model, "set_input_size", None)
    try:
        if change is None:
            raise TypeError("timm can't change it")
        change(img_size=size)
    except (TypeError, RuntimeError, AssertionError, ValueError) as error:
        raise UserError(
            f"is built for {own[0]}x{own[1]} pixels, not {size[0]}x{size[1]}: {error}",
            where=where,
            remedy=f"give --size {own[0]}x{own[1]}",
        ) from error


# How timm's crop modes are called in `Preprocessing`.
_RESIZE: dict[str, Resize] = {"center": "crop", "squash": "stretch"}
_INTERPOLATIONS = ("bicubic", "bilinear")


def preprocessing_of(
    model: nn.Module, size: tuple[int, int], recorded: Mapping[str, Any] | None = None
) -> Preprocessing:
    """Return the preprocessing of a timm model at `size`, (height, width) in pixels: timm's, with
    the fields of a `pretrained_cfg` that a checkpoint recorded in their place.

    Raises:
        UserError: timm preprocesses images for it in a way that a manifest does not describe.
    """
    config = {**(getattr(model, "pretrained_cfg", None) or {}), **(recorded or {})}
    if task_of_model(model) in DENSE_TASKS:  # a crop would lose objects
        config |= {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bilinear"}
    where = str(config.get("architecture") or type(model).__name__)
    return timm_preprocessing(config, size, channels_of(model), where)


def timm_preprocessing(
    config: Mapping[str, Any], size: tuple[int, int], channels: int, where: str
) -> Preprocessing:
    """Return the preprocessing that timm's evaluation transform has by a `pretrained_cfg`.

    Values of `mean` and `std` for another number of channels are averaged.

    Raises:
        UserError: a field has a value that a manifest does not describe; the message names it.
    """
    data = resolve_data_config(pretrained_cfg=dict(config))
    resize = _RESIZE.get(data["crop_mode"])
    if data["crop_mode"] == "border" and _is_letterbox(data):
        resize = "letterbox"
    if resize is None:
        raise _not_followed("crop_mode", data["crop_mode"], _RESIZE, where)
    if data["interpolation"] not in _INTERPOLATIONS:
        raise _not_followed("interpolation", data["interpolation"], _INTERPOLATIONS, where)
    try:
        return Preprocessing.model_validate(
            {
                "size": size,
                "resize": resize,
                "crop_pct": data["crop_pct"],
                "interpolation": data["interpolation"],
                "mean": per_channel(data["mean"], channels),
                "std": per_channel(data["std"], channels),
                "color": color_of(channels, where),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"field '{field}' of its pretrained_cfg: {first['msg']}", where=where,
            remedy="correct the configuration",
        ) from error  # fmt: skip


def _is_letterbox(data: Mapping[str, Any]) -> bool:
    """Whether timm's crop mode "border" is a letterbox: nothing cropped, and a border of 128, which
    is the mean of pixels."""
    return data["crop_pct"] == 1 and all(round(255 * mean) == 128 for mean in data["mean"])


def _not_followed(field: str, value: object, known: Collection[str], where: str) -> UserError:
    return UserError(
        f"timm preprocesses its images with {field} '{value}', which no runtime here follows",
        where=where,
        remedy=f"export a model with {' or '.join(known)}",
    )


def color_of(channels: int, where: str) -> Color:
    """Return the colours of an image with that many channels.

    Raises:
        UserError: there are none.
    """
    for color, count in CHANNELS.items():
        if count == channels:
            return color
    raise UserError(
        f"takes {channels} channels, images have 1 (grey), 3 (RGB) or 4 (RGBA)",
        where=where,
        remedy="export a model with one of these",
    )


def per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return the values if there is one per channel, else their mean for each channel."""
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels


def channels_of(model: nn.Module) -> int:
    """Return the channels of a model's input image: those of its first convolution, unless no
    image has so many, and timm's configuration says otherwise (CSATv2 begins with a transform)."""
    config = getattr(model, "pretrained_cfg", None)
    configured = int(config["input_size"][0]) if config and "input_size" in config else None
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and (first.in_channels in CHANNELS.values() or configured is None):
        return first.in_channels
    return configured or 3


def parameters_of(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def macs_of(model: nn.Module, size: tuple[int, int] = (256, 256), in_chans: int = 3) -> int:
    """Return multiply-adds of convolutions and matrix products for one image (1, in_chans, *size).

    Attention is included: it is counted in its decomposed form, because torch does not count the
    fused CPU kernel.
    """
    floats = (p.dtype for p in model.parameters() if p.is_floating_point())
    image = torch.zeros(1, in_chans, *size, dtype=next(floats, torch.float32))
    # The counter wants the gradients of what is passed between modules, also of parameters.
    frozen = copy.deepcopy(model).requires_grad_(False)
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with eval_mode(frozen), torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        frozen(image)
    return int(counter.get_total_flops() // 2)
