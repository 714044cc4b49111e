"""Prepare a model for export: create or load it, and determine its preprocessing, labels and
provenance."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lolvit.documents import validate
from lolvit.errors import UserError
from lolvit.labels import read_labels
from lolvit.manifest import Preprocessing
from lolvit.model_names import is_function
from lolvit.models import create_model
from lolvit.models.calibrate import calibrate_batch_norm, check_denormals
from lolvit.models.dense import DENSE_TASKS, STRIDES
from lolvit.models.factory import (
    CLASSIFICATION,
    channels_of,
    color_of,
    default_size,
    per_channel,
    preprocessing_of,
    task_of_model,
)
from lolvit.models.heads.segmentation import ClassMap
from lolvit.models.loading import (
    load_checkpoint,
    number_of_classes,
    recorded_data,
    recorded_size,
)
from lolvit.models.names import resolve_name
from lolvit.models.sizes import running_at
from lolvit_export.photos import calibration_images
from lolvit_export.user_function import build_model, size_unknown
from lolvit_runtimes.preprocessing import one_per_channel

SEED = 0
DENORMAL_CHECK_PHOTOS = 4  # every layer's activations are checked on these
# torchvision's, which most networks trained on ImageNet expect.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_CROP_PCT = 0.875
PROBABILITIES = (
    "its outputs are probabilities: not negative, with the sum 1. What reads a classifier takes the"
    " softmax of its outputs, which makes these nearly equal: return the logits, or the logarithm"
    " of the probabilities, or add --task tensors"
)
SCORES_OF_PIXELS = (
    "its output may be each pixel's scores of the classes: with --task segmentation predictions are"
    " maps of classes, drawn over the photo, instead of arrays"
)
# Pixels of the image to one of a segmentation model's output, in each direction.
COARSEST_SCORES = 8


@dataclass(frozen=True)
class ModelOptions:
    """The user's options for a model; None: read from the model, or a default.

    `size` is height and width in pixels. `class_map`: a segmentation model returns classes instead
    of logits. `trained` is used for a module, whose weights do not
    record it; `crop_pct`, `interpolation`, `mean`, `std` and `resize` are those of `Preprocessing`.
    """

    size: tuple[int, int] | None = None
    weights: Path | None = None
    calibrate: str | None = None
    num_classes: int | None = None
    in_chans: int | None = None
    labels: Path | tuple[str, ...] | None = None
    task: str | None = None
    trained: bool = True
    name: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    resize: str | None = None
    class_map: bool = False


@dataclass(frozen=True)
class Prepared:
    """An eager model in eval mode, and what the manifest records about it.

    `rebuilt`: whether `create_model(name)` and the state dict restore it; otherwise it is saved as
    a program. `model_args` are more arguments of timm for `create_model`. `task` is None where it
    is inferred from the outputs. `notes` are printed.
    """

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    trained: bool
    source: str
    labels: tuple[str, ...] | None
    colors: tuple[str, ...] | None = None
    task: str | None = None
    data: str | None = None  # the training data, where the checkpoint records it
    rebuilt: bool = True
    model_args: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    class_map: bool = False

    @property
    def exported(self) -> nn.Module:
        """The module whose outputs are those of the artifacts."""
        return ClassMap(self.model) if self.class_map else self.model


def resolve_size(model: str | nn.Module, options: ModelOptions) -> tuple[int, int]:
    """Return (height, width) in pixels: the user's, or else the checkpoint's, or else the model's
    default.

    Raises:
        UserError: none of them is known.
    """
    if options.size is not None:
        return options.size
    if isinstance(model, str) and not is_function(model):
        recorded = recorded_size(options.weights) if options.weights is not None else None
        return recorded or default_size(model, options.task)
    config = getattr(model, "pretrained_cfg", None) or {}
    if "input_size" in config:
        _, height, width = config["input_size"]
        return height, width
    raise size_unknown(model if isinstance(model, str) else type(model).__name__)


def prepare(model: str | nn.Module, options: ModelOptions) -> Prepared:
    """Create the model, or copy the given one, and load its weights; without weights, calibrate its
    BatchNorm on photos.

    Raises:
        UserError: the name is unknown, the weights do not match, the number of labels is wrong, or
            the model has denormal or non-finite activations on photos.
    """
    options = replace(options, size=resolve_size(model, options))
    _check_resize(options)
    prepared = _prepared(model, options)
    if not options.class_map:
        return prepared
    if prepared.task != "segmentation" or not prepared.rebuilt:
        raise UserError(
            "a class map is for segmentation models that are created by name", where=prepared.name,
            remedy="leave out --class-map",
        )  # fmt: skip
    return replace(prepared, class_map=True)


def _prepared(model: str | nn.Module, options: ModelOptions) -> Prepared:
    if isinstance(model, nn.Module):
        return _from_module(model, type(model).__name__, options)
    if is_function(model):
        return _from_module(build_model(model), model, options)
    if options.weights is None:
        return _untrained(model, options)
    return _from_checkpoint(model, options.weights, options)


def _check_resize(options: ModelOptions) -> None:
    if options.resize in (None, "crop") or options.task in DENSE_TASKS:
        return
    raise UserError(
        f"resize '{options.resize}' is for detection and segmentation",
        remedy="leave it out, or give the task",
    )


def _from_module(module: nn.Module, reference: str, options: ModelOptions) -> Prepared:
    """Prepare a copy of the user's module; the module itself is not modified."""
    assert options.size is not None
    model = copy.deepcopy(module).float().eval()
    said = None
    if options.weights is not None:
        said = _load_weights(model, options.weights)
    in_chans = options.in_chans or channels_of(model)
    preprocessing, notes = _preprocessing(model, in_chans, options)
    images = torch.from_numpy(calibration_images(preprocessing)[:DENORMAL_CHECK_PHOTOS])
    name = (
        export_name(module, options)
        if options.name or not is_function(reference)
        else _file_name(reference)
    )
    outputs = _outputs(model, images, name)
    if options.task in (None, CLASSIFICATION) and _are_probabilities(outputs):
        notes = (*notes, PROBABILITIES)
    if options.task is None and _are_scores_of_pixels(outputs, options.size):
        notes = (*notes, SCORES_OF_PIXELS)
    if not options.trained:
        calibrate_batch_norm(model, images)
    check_denormals(model, images, where=name)
    features = getattr(model, "num_classes", None) == 0
    return Prepared(
        name=name,
        model=model,
        preprocessing=preprocessing,
        trained=options.trained,
        source=options.weights.name if options.weights is not None else reference,
        labels=_labels(options.labels, None),
        task=options.task or ("tensors" if features else None),
        rebuilt=False,
        notes=(*notes, said) if said else notes,
    )


def _load_weights(model: nn.Module, weights: Path) -> str | None:
    """Load a checkpoint into a user's module, or into the network that it wraps; return a note if
    names differ.

    Raises:
        UserError: the file can't be read, or its tensors are not the module's.
    """
    from lolvit.models.checkpoint import load_weights, read_state
    from lolvit.models.prefixes import find_wrapped, match_names
    from lolvit.weights import find_weights

    state, own, where = read_state(find_weights(weights))[0], model.state_dict(), str(weights)
    wrapped = find_wrapped(state, own)
    if wrapped is None:
        matched = match_names(state, own)
        load_weights(model, matched.state, where)
        return matched.note(where)
    inner = {wrapped.prefix + name: tensor for name, tensor in state.items()}
    load_weights(model, own | inner, where)
    return wrapped.note(where)


def export_name(model: str | nn.Module, options: ModelOptions) -> str:
    """Return an export's name: the user's, or else the model's name in timm, its class or function.

    Raises:
        UserError: no model has that name.
    """
    if options.name is not None:
        return _file_name(options.name)
    if isinstance(model, nn.Module):
        config = getattr(model, "pretrained_cfg", None) or {}
        return _file_name(config.get("architecture") or type(model).__name__)
    return _file_name(model) if is_function(model) else resolve_name(model)


def _file_name(reference: str) -> str:
    """Return a class's or function's name with characters that are safe in a folder's name."""
    last = reference.rpartition(":")[2] if is_function(reference) else reference
    return re.sub(r"[^A-Za-z0-9_.-]", "_", last).lower()


def _outputs(model: nn.Module, images: torch.Tensor, where: str) -> list[torch.Tensor]:
    """Run a model on one image, before anything else can fail because it does not run.

    Raises:
        UserError: it fails, or its outputs are not tensors.
    """
    from lolvit_export.capture import run_once

    return [tensor for _, tensor in run_once(model, images[:1].to(images.dtype), where)]


def _are_probabilities(outputs: list[torch.Tensor]) -> bool:
    """Whether a classifier returns softmax's values instead of logits."""
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
        return False
    (values,) = outputs
    return bool((values >= 0).all()) and bool((values.sum(1) - 1).abs().max() < 1e-3)


def _are_scores_of_pixels(outputs: list[torch.Tensor], size: tuple[int, int]) -> bool:
    """Whether the only output, (batch, classes, height, width), has the image's size, or this
    divided by a small number."""
    if len(outputs) != 1 or outputs[0].ndim != 4 or outputs[0].shape[1] < 2:
        return False
    factor = size[0] // outputs[0].shape[2]
    return factor <= COARSEST_SCORES and size == tuple(n * factor for n in outputs[0].shape[2:])


def _preprocessing(
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


def _labels(given: Path | tuple[str, ...] | None, classes: int | None) -> tuple[str, ...] | None:
    if isinstance(given, Path):
        return read_labels(given, classes)
    return tuple(given) if given is not None else None


def _from_checkpoint(name: str, weights: Path, options: ModelOptions) -> Prepared:
    loaded = load_checkpoint(name, weights, options.num_classes, options.size)
    task = _task_of(loaded.model, options, str(weights))
    model, preprocessing = loaded.model, loaded.preprocessing(options.size)
    if options.resize is not None and options.resize != preprocessing.resize:
        raise UserError(
            f"was trained with resize '{preprocessing.resize}'", where=str(weights),
            remedy=f"leave out resize '{options.resize}'",
        )  # fmt: skip
    _check_sides(task, preprocessing.size)
    images = torch.from_numpy(calibration_images(preprocessing)[:DENORMAL_CHECK_PHOTOS])
    check_denormals(model, images, where=str(weights))
    classes = number_of_classes(model)
    return Prepared(
        name=loaded.name,
        model=model,
        preprocessing=preprocessing,
        trained=bool(loaded.config.get("trained", True)),
        source=weights.name,
        labels=_labels(options.labels, classes) or loaded.labels(),
        colors=loaded.colors(),
        task=task,
        data=recorded_data(loaded.config),
        model_args=loaded.config.get("model_args") or {},
        notes=loaded.notes,
    )


def _task_of(model: nn.Module, options: ModelOptions, where: str) -> str | None:
    """Return the task of a model that was created by name; None: inferred from its outputs.

    Raises:
        UserError: the user gave another one.
    """
    own = task_of_model(model)
    if own in DENSE_TASKS and options.task in (None, own, "tensors"):
        return options.task or own
    if own == CLASSIFICATION and options.task not in DENSE_TASKS:
        return options.task or ("tensors" if number_of_classes(model) == 0 else None)
    raise UserError(
        f"is a model for {own}, not for {options.task}", where=where,
        remedy=f"give --task {own}, or leave it out",
    )  # fmt: skip


def _check_sides(task: str | None, size: tuple[int, int]) -> None:
    """Check that a detector's maps fit the image.

    Raises:
        UserError: a side is no multiple of the largest stride.
    """
    if task in DENSE_TASKS and any(side % STRIDES[-1] for side in size):
        raise UserError(
            f"size {size[0]}x{size[1]} is no multiple of {STRIDES[-1]}",
            remedy=f"a model for {task} takes sides that are multiples of {STRIDES[-1]}",
        )


def _untrained(name: str, options: ModelOptions) -> Prepared:
    assert options.size is not None
    size = options.size
    in_chans = options.in_chans or 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = create_model(
            name,
            num_classes=options.num_classes,
            in_chans=in_chans,
            size=options.size,
            task=options.task if options.task in DENSE_TASKS else CLASSIFICATION,
        )
    task = _task_of(model, options, name)
    _check_sides(task, size)
    preprocessing, _ = _preprocessing(model, in_chans, options)
    images = torch.from_numpy(calibration_images(preprocessing, options.calibrate))
    with running_at(size, name):
        calibrate_batch_norm(model, images)
    check_denormals(model, images[:DENORMAL_CHECK_PHOTOS], where=name)
    classes = number_of_classes(model)
    return Prepared(
        name=resolve_name(name),
        model=model,
        preprocessing=preprocessing,
        trained=False,
        source=f"random (seed {SEED}), BatchNorm calibrated on photos",
        labels=_labels(options.labels, classes),
        task=task,
    )
