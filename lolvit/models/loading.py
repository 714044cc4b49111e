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
from lolvit.models.checkpoint import channels_in, classes_in, load_weights, read_state
from lolvit.models.factory import (
    CLASSIFICATION,
    channels_of,
    create_model,
    default_size,
    fit_size,
    preprocessing_of,
)
from lolvit.models.hub import config_beside, read_timm_config
from lolvit.models.names import resolve_name
from lolvit.models.prefixes import Matched, match_names
from lolvit.weights import find_weights, hub_config


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model in eval mode with a checkpoint's weights, the checkpoint's configuration, and the
    image size, (height, width) in pixels, that the model is created for."""

    name: str
    model: nn.Module
    config: Mapping[str, Any]
    size: tuple[int, int]
    notes: tuple[str, ...] = ()

    def preprocessing(self, size: tuple[int, int] | None = None) -> Preprocessing:
        """Return the recorded preprocessing, or else the model's default; at `size` if it is given,
        (height, width) in pixels."""
        found = recorded_preprocessing(self.config, self.name)
        if found is not None:
            return found if size is None else found.model_copy(update={"size": size})
        return preprocessing_of(self.model, size or self.size, self.config.get("pretrained_cfg"))

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


def recorded_data(config: Mapping[str, Any]) -> str | None:
    """Return the data set that a checkpoint's configuration records, as `lolvit train --data` takes
    it; None: it records none."""
    recorded = config.get("data")
    return recorded if isinstance(recorded, str) else None


def load_checkpoint(
    name: str | None,
    path: Path,
    num_classes: int | None = None,
    size: tuple[int, int] | None = None,
) -> LoadedCheckpoint:
    """Create a checkpoint's model and load the weights strictly. `path` may be any reference that
    `lolvit.weights.find_weights` supports; `name` may be None if the checkpoint records it.

    A model that is built for one image size is created at the size that the weights were trained
    for, and then changed to `size`, (height, width) in pixels, if that is given.

    Raises:
        UserError: the file can't be downloaded or read, does not match the model, or is of another
            model.
    """
    state, config, note = _read(path)
    name = _name(name, config, path)
    model, matched, own = _create_matching(name, state, config, num_classes, size, str(path))
    load_weights(model, matched.state, where=str(path))
    if size is not None:
        fit_size(model, own, size, str(path))
    notes = tuple(line for line in (note, matched.note(str(path))) if line)
    return LoadedCheckpoint(resolve_name(name), model.eval(), config, size or own, notes)


def recorded_size(path: Path) -> tuple[int, int] | None:
    """Return the image size, (height, width) in pixels, that a checkpoint was trained for; None if
    it is not recorded.

    Raises:
        UserError: the file can't be downloaded or read.
    """
    return _recorded_size(_read(path)[1], str(path))


def _recorded_size(config: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    found = recorded_preprocessing(config, where)
    return _timm_size(config) if found is None else found.size


def _timm_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    size = (config.get("pretrained_cfg") or {}).get("input_size")
    return (int(size[1]), int(size[2])) if isinstance(size, (list, tuple)) else None


def recorded_preprocessing(config: Mapping[str, Any], where: str) -> Preprocessing | None:
    """Return the preprocessing in a checkpoint's configuration; None if it has none.

    Raises:
        UserError: a field is invalid; the message names it.
    """
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


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str | None]:
    """Return a checkpoint's tensors, its configuration and, where other files have that, a line
    that names them: those beside it in its folder or on the Hub."""
    file = find_weights(path)
    state, config = read_state(file)
    if "model" in config:
        return state, config, None
    on_hub = hub_config(path)
    if on_hub is not None:
        return state, {**config, **read_timm_config(on_hub)}, None
    beside, names = config_beside(file)
    used = ", ".join(_CONFIG_FIELDS[key] for key in _CONFIG_FIELDS if beside.get(key))
    note = f"{path}: {names} beside the weights: {used}" if names and used else None
    return state, {**config, **beside}, note


# What a configuration beside the weights gives, in the words of its note.
_CONFIG_FIELDS = {
    "model": "model",
    "trained_model": "model",
    "num_classes": "number of classes",
    "labels": "labels",
    "pretrained_cfg": "size and preprocessing",
}


def rebuild_model(
    name: str,
    num_classes: int,
    state: Mapping[str, Tensor],
    where: str,
    in_chans: int = 3,
    task: str = CLASSIFICATION,
    size: tuple[int, int] | None = None,
    model_args: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return the eager model of an export, in eval mode, with its state dict. `size`: of its
    images, (height, width) in pixels; `model_args`: timm's, as the weights record them.

    Raises:
        UserError: the state dict does not match the model.
    """
    model = create_model(
        _by_any_name(name), num_classes, in_chans, task=task, size=size, model_args=model_args
    )
    load_weights(model, state, where=where)
    return model.eval()


def number_of_classes(model: nn.Module) -> int:
    """Return the width of a model's logits."""
    classes: Any = model.num_classes
    return int(classes)


def _name(name: str | None, config: Mapping[str, Any], path: Path) -> str:
    recorded = config.get("model")
    if name is None:
        found = recorded or config.get("trained_model")
        if found is None or not _is_resolvable(_by_any_name(str(found))):
            raise UserError(
                "does not record its model", where=str(path), remedy="give the model's name"
            )
        return _by_any_name(str(found))
    if recorded is not None and _architecture(str(recorded)) != _architecture(resolve_name(name)):
        raise UserError(
            f"is a checkpoint of {recorded}, not of {name}",
            where=str(path),
            remedy=f"give the name {recorded}",
        )
    return name


def _architecture(name: str) -> str:
    """Return timm's name of a model without the tag of its pretrained weights."""
    return name.removeprefix("timm/").partition(".")[0]


def _is_resolvable(name: str) -> bool:
    try:
        resolve_name(name)
    except UserError:
        return False
    return True


def _by_any_name(name: str) -> str:
    """Return the name of this package for a name of timm's, as manifests and timm record it."""
    return name if _is_resolvable(name) else f"timm/{name.removeprefix('timm/')}"


def _create_matching(
    name: str,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    num_classes: int | None,
    size: tuple[int, int] | None,
    where: str,
) -> tuple[nn.Module, Matched, tuple[int, int]]:
    """Create the model with the checkpoint's task, number of classes and channels, and at the image
    size that its tensors have; return its tensors under the model's names, and that size, too."""
    task = task_of_config(config)
    model = create_model(name, task=task)
    matched = match_names(state, model.state_dict())
    defaults = getattr(model, "default_cfg", {})
    classes = num_classes
    if classes is None:
        classes = classes_in(matched.state, _first(defaults.get("classifier")))
    if classes is None:
        classes = config.get("num_classes")
    channels = channels_in(matched.state, _first(defaults.get("first_conv"))) or channels_of(model)
    arguments = dict(config.get("model_args") or {})
    if classes is None:
        classes = number_of_classes(model)
    recorded = _recorded_size(config, where)
    for trained in dict.fromkeys((recorded, size, None)):
        model = create_model(name, classes, channels, task=task, size=trained, model_args=arguments)
        if _shapes_match(model, matched.state):
            break
    return model, matched, trained or default_size(name, task)


def _shapes_match(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    return all(
        state[name].shape == tensor.shape
        for name, tensor in model.state_dict().items()
        if name in state
    )


def _first(names: Any) -> str:
    """Return the name of a layer; of several, such as a distilled model's two heads, the first."""
    return str(names if isinstance(names, str) else (names or ("",))[0])
