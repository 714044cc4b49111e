"""The weights that a run starts from: a checkpoint's, but for the layers that depend on the classes
where the data has others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lolvit.errors import UserError
from lolvit.models.checkpoint import load_weights, read_state
from lolvit.models.dense import DenseModel, backbone_state
from lolvit.models.prefixes import match_names
from lolvit.weights import find_weights

_BACKBONE = "backbone."  # begins the names of a backbone's tensors in a DenseModel


def load_initial(model: nn.Module, path: Path, classes: Sequence[str]) -> list[str]:
    """Load a checkpoint into a model of `classes`, and return lines that say what is new.

    Layers that depend on the classes keep their initialization where the checkpoint has another
    number of classes, or records other labels. So does a head on the backbone of a classifier, or
    of a checkpoint for another task.

    Raises:
        UserError: the checkpoint can't be read, or is of another model.
    """
    state, config = read_state(find_weights(path))
    if isinstance(model, DenseModel):
        part = {
            name.removeprefix(_BACKBONE): state[name]
            for name in state
            if name.startswith(_BACKBONE)
        }
        if not part or str(config.get("task") or model.task) != model.task:
            _load_backbone(model, part or state, path)
            return [f"{path}: of its weights the backbone's are used; the head is new"]
    own = model.state_dict()
    state = match_names(state, own).state
    labels = config.get("labels")
    other = bool(labels) and [str(label) for label in labels or ()] != list(classes)
    new = [layer for layer in class_layers(model) if _is_new(layer, state, own, other)]
    if not new:
        load_weights(model, state, where=str(path))
        return []
    before = len(next(iter(_tensors(new[0], state).values())))
    for layer in new:
        state |= _tensors(layer, own)
    load_weights(model, state, where=str(path))
    names = f"{', '.join(new)} {'is' if len(new) == 1 else 'are'} new, the rest is loaded"
    return [f"{path}: its {before} classes are not the {len(classes)} of the data; {names}"]


def class_layers(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers whose shapes depend on the number of classes."""
    if isinstance(model, DenseModel):
        return model.class_layers
    defaults: Any = getattr(model, "default_cfg", {})
    names = defaults.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _is_new(
    layer: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor], other_labels: bool
) -> bool:
    """Whether a layer of a checkpoint is for other classes: all of its tensors, whose first
    dimension are the classes, have other shapes, or the labels are others."""
    wanted = _tensors(layer, own)
    if not wanted or not all(name in state for name in wanted):
        return False
    return other_labels or all(state[name].shape != wanted[name].shape for name in wanted)


def _tensors(layer: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name.startswith(f"{layer}.")}


def _load_backbone(model: DenseModel, state: Mapping[str, Tensor], path: Path) -> None:
    wanted = model.backbone.state_dict()
    # BatchNorm's counters of batches have no effect: checkpoints of other frameworks lack them.
    counters = {name: wanted[name] for name in wanted if name.endswith("num_batches_tracked")}
    found = {**counters, **backbone_state(model, state)}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"does not fit the backbone: it lacks {missing[0]}", where=str(path),
            remedy="give a checkpoint of the same model",
        )  # fmt: skip
    model.backbone.load_state_dict(found)
