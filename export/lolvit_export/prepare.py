"""Turn a model's name and, if there are any, its weights into the eager model that is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lolvit.errors import UserError
from lolvit.labels import read_labels
from lolvit.manifest import Preprocess
from lolvit.models import create_model
from lolvit.models.calibrate import calibrate_batch_norm, refuse_denormals
from lolvit.models.factory import preprocess_of
from lolvit.models.loading import load_checkpoint, number_of_classes
from lolvit.models.names import resolve_name
from lolvit_export.photos import calibration_images

SEED = 0
FEW = 4  # photos that tell whether activations are denormal: every layer is looked at


@dataclass(frozen=True)
class Prepared:
    """An eager model in eval mode, and what the manifest says of it."""

    name: str
    model: nn.Module
    preprocess: Preprocess
    num_classes: int
    trained: bool
    source: str
    labels: tuple[str, ...] | None
    data: str | None = None  # what it was trained on, where its checkpoint says so


def prepare(
    name: str,
    size: tuple[int, int],
    weights: Path | None = None,
    calibrate: str | None = None,
    num_classes: int | None = None,
    labels: Path | None = None,
) -> Prepared:
    """Build the model; load `weights`, or calibrate it on photos (bundled ones, or those of
    `calibrate`: a folder or a data set).

    Raises:
        UserError: the name is unknown, the weights do not fit, the labels are too many or few,
            or the model gives denormal or infinite outputs on photos.
    """
    if weights is None:
        return _untrained(name, size, calibrate, num_classes, labels)
    loaded = load_checkpoint(name, weights, num_classes)
    model, preprocess = loaded.model, loaded.preprocess(size)
    images = torch.from_numpy(calibration_images(preprocess)[:FEW])
    refuse_denormals(model, images, where=str(weights))
    return Prepared(
        name=loaded.name,
        model=model,
        preprocess=preprocess,
        num_classes=number_of_classes(model),
        trained=bool(loaded.config.get("trained", True)),
        source=weights.name,
        labels=read_labels(labels, number_of_classes(model)) or loaded.labels(),
        data=_recorded_data(loaded.config),
    )


def _recorded_data(config: Mapping[str, Any]) -> str | None:
    recorded = config.get("data")
    return recorded if isinstance(recorded, str) else None


def _untrained(
    name: str,
    size: tuple[int, int],
    calibrate: str | None,
    num_classes: int | None,
    labels: Path | None,
) -> Prepared:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = create_model(name, num_classes=num_classes)
    preprocess = preprocess_of(model, size)
    images = torch.from_numpy(calibration_images(preprocess, calibrate))
    try:
        calibrate_batch_norm(model, images)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"does not run at {size[0]}x{size[1]}: {str(error).splitlines()[0]}",
            where=name,
            remedy="try a larger size, or one that is a multiple of 32",
        ) from error
    refuse_denormals(model, images[:FEW], where=name)
    return Prepared(
        name=resolve_name(name),
        model=model,
        preprocess=preprocess,
        num_classes=number_of_classes(model),
        trained=False,
        source=f"random (seed {SEED}), BatchNorm calibrated on photos",
        labels=read_labels(labels, number_of_classes(model)),
    )
