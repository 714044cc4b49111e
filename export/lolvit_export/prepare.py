"""Turn a model's name and, if there are any, its weights into the eager model that is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lolvit.artifact import Preprocess
from lolvit.errors import UserError
from lolvit.models import create_model
from lolvit.models.calibrate import calibrate_batch_norm, refuse_denormals
from lolvit.models.checkpoint import classes_in, load_weights, read_state
from lolvit.models.factory import preprocess_of
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


def prepare(
    name: str,
    size: tuple[int, int],
    weights: Path | None = None,
    photos: Path | None = None,
    num_classes: int | None = None,
    labels: Path | None = None,
) -> Prepared:
    """Build the model; load `weights`, or calibrate it on photos (bundled ones, or a folder's).

    Raises:
        UserError: the name is unknown, the weights do not fit, the labels are too many or few,
            or the model gives denormal or infinite outputs on photos.
    """
    if weights is None:
        return _untrained(name, size, photos, num_classes, labels)
    state, config = read_state(weights)
    _check_model_name(name, config, weights)
    model = _fitting_model(name, state, config, num_classes)
    load_weights(model, state, where=str(weights))
    model.eval()
    preprocess = _preprocess(model, size, config)
    images = torch.from_numpy(calibration_images(preprocess)[:FEW])
    refuse_denormals(model, images, where=str(weights))
    return Prepared(
        name=resolve_name(name),
        model=model,
        preprocess=preprocess,
        num_classes=_classes_of(model),
        trained=bool(config.get("trained", True)),
        source=weights.name,
        labels=read_labels(labels, _classes_of(model)) or _config_labels(config),
    )


def _untrained(
    name: str,
    size: tuple[int, int],
    photos: Path | None,
    num_classes: int | None,
    labels: Path | None,
) -> Prepared:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = create_model(name, num_classes=num_classes)
    preprocess = preprocess_of(model, size)
    images = torch.from_numpy(calibration_images(preprocess, photos))
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
        num_classes=_classes_of(model),
        trained=False,
        source=f"random (seed {SEED}), BatchNorm calibrated on photos",
        labels=read_labels(labels, _classes_of(model)),
    )


def restore(name: str, num_classes: int, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Return the eager model that an export recorded, in eval mode.

    Raises:
        UserError: the state does not fit the model.
    """
    model = _named(name, num_classes)
    load_weights(model, state, where=where)
    return model.eval()


def _named(name: str, num_classes: int | None) -> nn.Module:
    """Create a model by a user's name or by timm's, which is what manifests record."""
    try:
        return create_model(name, num_classes=num_classes)
    except UserError:
        return create_model(f"timm/{name}", num_classes=num_classes)


def _check_model_name(name: str, config: Mapping[str, Any], weights: Path) -> None:
    recorded = config.get("model")
    if recorded is not None and recorded != resolve_name(name):
        raise UserError(
            f"is a checkpoint of {recorded}, not of {name}",
            where=str(weights),
            remedy=f"export {recorded}",
        )


def _fitting_model(
    name: str, state: Mapping[str, Tensor], config: Mapping[str, Any], num_classes: int | None
) -> nn.Module:
    """Create the model with as many classes as the checkpoint has."""
    model = create_model(name)
    classifier = getattr(model, "default_cfg", {}).get("classifier")
    classes = num_classes or config.get("num_classes")
    if classes is None and isinstance(classifier, str):
        classes = classes_in(state, classifier)
    return model if classes in (None, _classes_of(model)) else create_model(name, classes)


def _preprocess(model: nn.Module, size: tuple[int, int], config: Mapping[str, Any]) -> Preprocess:
    """Return what training recorded, at this export's size, or the model's own preprocessing."""
    recorded = config.get("preprocess")
    if recorded is None:
        return preprocess_of(model, size)
    return Preprocess.model_validate({**recorded, "size": size})


def _classes_of(model: nn.Module) -> int:
    classes: Any = model.num_classes
    return int(classes)


def _config_labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    labels = config.get("labels")
    return tuple(str(label) for label in labels) if labels else None


def read_labels(path: Path | None, classes: int) -> tuple[str, ...] | None:
    """Return one label a line.

    Raises:
        UserError: the file cannot be read, or has another number of lines than there are classes.
    """
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"no labels: {error}", where=str(path), remedy="check the path") from error
    if len(lines) != classes:
        raise UserError(
            f"has {len(lines)} labels, the model {classes} classes",
            where=str(path),
            remedy="write one label a line, in the order of the classes",
        )
    return tuple(lines)
