"""The preprocessing and labels of a model for export: the user's options, or the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from lolvit.documents import validate
from lolvit.errors import UserError
from lolvit.labels import read_labels
from lolvit.manifest import Preprocessing
from lolvit.models.dense import DENSE_TASKS
from lolvit.models.factory import color_of, per_channel, preprocessing_of
from lolvit_export.prepared import ModelOptions
from lolvit_runtimes.preprocessing import one_per_channel

# torchvision's, which most networks trained on ImageNet expect.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_CROP_PCT = 0.875


def check_resize(options: ModelOptions) -> None:
    """Check that only a task whose predictions have places in the photo is given how to resize it.

    Raises:
        UserError: another task is.
    """
    if options.resize in (None, "crop") or options.task in DENSE_TASKS:
        return
    raise UserError(
        f"resize '{options.resize}' is for detection and segmentation",
        remedy="leave it out, or give the task",
    )


def resolve_preprocessing(
    model: nn.Module, in_chans: int, options: ModelOptions
) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return a module's preprocessing, and notes about assumed values.

    Raises:
        UserError: an option does not fit the model, or is impossible.
    """
    assert options.size is not None
    name, resize = type(model).__name__, "crop"
    color = color_of(in_chans, name)
    notes: tuple[str, ...] = ()
    if getattr(model, "pretrained_cfg", None):
        own = preprocessing_of(model, options.size)
        mean, std = per_channel(own.mean, in_chans), per_channel(own.std, in_chans)
        crop_pct, interpolation, resize = own.crop_pct, own.interpolation, own.resize
    else:
        mean, std = per_channel(IMAGENET_MEAN, in_chans), per_channel(IMAGENET_STD, in_chans)
        crop_pct, interpolation = DEFAULT_CROP_PCT, "bilinear"
        if options.mean is None or options.std is None:
            notes = (
                f"the model does not record its normalization: mean {_listed(mean)} and std"
                f" {_listed(std)} (ImageNet's) are assumed; give --mean and --std if it was"
                " trained with others",
            )
    return (
        validate(
            Preprocessing,
            {
                "size": options.size,
                "resize": resize,
                "crop_pct": options.crop_pct or crop_pct,
                "interpolation": options.interpolation or interpolation,
                "mean": one_per_channel("--mean", options.mean or mean, in_chans, name),
                "std": one_per_channel("--std", options.std or std, in_chans, name),
                "color": color,
                **_resizing(options),
            },
            name,
            "give what the model was trained with",
        ),
        notes,
    )


def _resizing(options: ModelOptions) -> dict[str, Any]:
    """Return the fields of a preprocessing that shows detectors and segmentation models the whole
    photo; none for other tasks."""
    if options.task not in DENSE_TASKS:
        return {}
    resize = options.resize or "stretch"
    if resize != "crop" and options.crop_pct not in (None, 1):
        raise UserError("crop_pct needs resize 'crop'", remedy="leave one of them out")
    return {"resize": resize} if resize == "crop" else {"resize": resize, "crop_pct": 1.0}


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.3g}" for value in values)


def resolve_labels(
    given: Path | tuple[str, ...] | None, classes: int | None
) -> tuple[str, ...] | None:
    if isinstance(given, Path):
        return read_labels(given, classes)
    return tuple(given) if given is not None else None
