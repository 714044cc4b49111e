"""Load a checkpoint into its model, using and checking the configuration that it records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models.checkpoint import classes_in, load_weights, read_state
from lolvit.models.factory import CLASSIFICATION, create_model, preprocessing_of
from lolvit.models.hub import read_timm_config
from lolvit.models.names import resolve_name
from lolvit.weights import find_weights, hub_config


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model in eval mode with a checkpoint's weights, and the checkpoint's configuration."""

    name: str
    model: nn.Module
    config: Mapping[str, Any]

    def preprocessing(self, size: tuple[int, int] | None = None) -> Preprocessing:
        """Return the recorded preprocessing, or else the model's default; at `size` if it is given,
        (height, width) in pixels."""
        found = _preprocess(self.config, self.name)
        if found is not None:
            return found if size is None else found.model_copy(update={"size": size})
        if size is None:
            _, height, width = self.model.default_cfg["input_size"]  # type: ignore[index]
            size = (height, width)
        return preprocessing_of(self.model, size)

    def labels(self) -> tuple[str, ...] | None:
        """Return the names of the classes, or None if they are not recorded."""
        labels = self.config.get("labels")
        return tuple(str(label) for label in labels) if labels else None

    def colors(self) -> tuple[str, ...] | None:
        """Return the colours of the classes (#rrggbb), or None if they are not recorded."""
        colors = self.config.get("colors")
        return tuple(str(color) for color in colors) if colors else None

    @property
    def task(self) -> str:
        """The task that the model was trained for."""
        return task_of_config(self.config)


def task_of_config(config: Mapping[str, Any]) -> str:
    """Return the task that a checkpoint's configuration records; earlier ones, and timm's, are of
    classifiers."""
    return str(config.get("task") or CLASSIFICATION)


def load_checkpoint(
    name: str | None, path: Path, num_classes: int | None = None
) -> LoadedCheckpoint:
    """Create a checkpoint's model and load the weights strictly. `path` may be any reference that
    `lolvit.weights.find_weights` supports; `name` may be None if the checkpoint records it.

    Raises:
        UserError: the file can't be downloaded or read, does not match the model, or is of another
            model.
    """
    state, config = _read(path)
    name = _name(name, config, path)
    model = _create_matching(name, state, config, num_classes)
    load_weights(model, state, where=str(path))
    return LoadedCheckpoint(resolve_name(name), model.eval(), config)


def recorded_size(path: Path) -> tuple[int, int] | None:
    """Return the image size, (height, width) in pixels, that a checkpoint was trained for; None if
    it is not recorded.

    Raises:
        UserError: the file can't be downloaded or read.
    """
    found = _preprocess(_read(path)[1], str(path))
    return None if found is None else found.size


def _preprocess(config: Mapping[str, Any], where: str) -> Preprocessing | None:
    recorded = config.get("preprocessing", config.get("preprocess"))  # as earlier versions wrote it
    if recorded is None:
        return None
    try:
        return Preprocessing.model_validate(recorded)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("preprocessing", *first["loc"]))
        raise UserError(
            f"field '{field}' of its configuration: {first['msg']}",
            where=where,
            remedy="save the checkpoint again",
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a checkpoint's tensors, and its configuration or that beside it on the Hub."""
    state, config = read_state(find_weights(path))
    beside = hub_config(path)
    return state, config or ({} if beside is None else read_timm_config(beside))


def rebuild_model(
    name: str,
    num_classes: int,
    state: Mapping[str, Tensor],
    where: str,
    in_chans: int = 3,
    task: str = CLASSIFICATION,
) -> nn.Module:
    """Return the eager model of an export, in eval mode, with its state dict.

    Raises:
        UserError: the state dict does not match the model.
    """
    model = _create_by_any_name(name, num_classes, in_chans, task)
    load_weights(model, state, where=where)
    return model.eval()


def number_of_classes(model: nn.Module) -> int:
    """Return the width of a model's logits."""
    classes: Any = model.num_classes
    return int(classes)


def _name(name: str | None, config: Mapping[str, Any], path: Path) -> str:
    recorded = config.get("model")
    if name is None:
        if recorded is None:
            raise UserError(
                "does not record its model", where=str(path), remedy="give the model's name"
            )
        return str(recorded) if _is_resolvable(str(recorded)) else f"timm/{recorded}"
    if recorded is not None and recorded != resolve_name(name):
        raise UserError(
            f"is a checkpoint of {recorded}, not of {name}",
            where=str(path),
            remedy=f"give the name {recorded}",
        )
    return name


def _is_resolvable(name: str) -> bool:
    try:
        resolve_name(name)
    except UserError:
        return False
    return True


def _create_by_any_name(
    name: str, num_classes: int | None, in_chans: int = 3, task: str = CLASSIFICATION
) -> nn.Module:
    """Create a model by a name of this package or, as manifests record it, of timm."""
    known = name if _is_resolvable(name) else f"timm/{name}"
    return create_model(known, num_classes=num_classes, in_chans=in_chans, task=task)


def _create_matching(
    name: str, state: Mapping[str, Tensor], config: Mapping[str, Any], num_classes: int | None
) -> nn.Module:
    """Create the model with the checkpoint's task and number of classes."""
    task = task_of_config(config)
    model = create_model(name, task=task)
    classifier = getattr(model, "default_cfg", {}).get("classifier")
    classes = num_classes or config.get("num_classes")
    if classes is None and isinstance(classifier, str):
        classes = classes_in(state, classifier)
    if classes in (None, number_of_classes(model)):
        return model
    return create_model(name, classes, task=task)
