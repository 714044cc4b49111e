"""Prepare a model for export: create or load it, and determine its preprocessing, labels and
provenance."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from lolvit.errors import UserError
from lolvit.model_names import is_function
from lolvit.models import create_model
from lolvit.models.calibrate import check_denormals, make_representative
from lolvit.models.dense import DENSE_TASKS, STRIDES
from lolvit.models.factory import (
    CLASSIFICATION,
    default_size,
    task_of_model,
)
from lolvit.models.loading import (
    load_checkpoint,
    number_of_classes,
    recorded_data,
    recorded_size,
)
from lolvit.models.names import resolve_name
from lolvit.models.sizes import running_at
from lolvit_export.photos import DENORMAL_CHECK_PHOTOS, calibration_images
from lolvit_export.prepared import ModelOptions, Prepared
from lolvit_export.preprocessing_options import (
    check_resize,
    resolve_labels,
    resolve_preprocessing,
)
from lolvit_export.user_function import build_model, size_unknown
from lolvit_export.user_module import from_module

SEED = 0


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
    check_resize(options)
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
        return from_module(model, type(model).__name__, export_name(model, options), options)
    if is_function(model):
        return from_module(build_model(model), model, export_name(model, options), options)
    if options.weights is None:
        return _untrained(model, options)
    return _from_checkpoint(model, options.weights, options)


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
        labels=resolve_labels(options.labels, classes) or loaded.labels(),
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
    preprocessing, _ = resolve_preprocessing(model, in_chans, options)
    images = torch.from_numpy(calibration_images(preprocessing, options.calibrate))
    with running_at(size, name):
        make_representative(model, images)
    check_denormals(model, images[:DENORMAL_CHECK_PHOTOS], where=name)
    classes = number_of_classes(model)
    return Prepared(
        name=resolve_name(name),
        model=model,
        preprocessing=preprocessing,
        trained=False,
        source=f"random (seed {SEED}), BatchNorm calibrated on photos",
        labels=resolve_labels(options.labels, classes),
        task=task,
    )
