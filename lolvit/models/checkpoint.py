"""Weights to and from files: safetensors with their configuration, or torch files as data only."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from lolvit.errors import UserError
from lolvit.files import write_atomic

# Where training scripts put the state inside a torch file; the moving average is preferred.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
_DEEPEST = 4
# What DistributedDataParallel and torch.compile put before every name.
_WRAPPERS = ("module.", "_orig_mod.")
_CONFIG_KEY = "lolvit"
_SHOWN = 4


def save_checkpoint(model: nn.Module, path: Path, config: Mapping[str, Any]) -> None:
    """Write the model's state and its configuration (plain JSON values) as one safetensors file.

    Raises:
        UserError: the file cannot be written; what stood there is untouched.
    """
    state = {  # copies, because the format refuses tensors that share memory, as tied weights do
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    write_atomic(path, save_safetensors(state, metadata={_CONFIG_KEY: json.dumps(dict(config))}))


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a checkpoint and its configuration (empty for a torch file).

    Nothing in the file is executed: safetensors, or torch's loader restricted to weights.

    Raises:
        UserError: the file is missing, truncated, no checkpoint, or would have to run code.
    """
    if not path.is_file():
        raise UserError("no such checkpoint", where=str(path), remedy="check the path")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get(_CONFIG_KEY, "{}"))
            if not isinstance(config, dict):
                raise ValueError("its configuration is no table")
            return {name: file.get_tensor(name) for name in file.keys()}, config  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"not a safetensors file, or cut short: {error}",
            where=str(path),
            remedy="fetch it again",
        ) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            "holds more than weights, or is damaged, and is not loaded",
            where=str(path),
            remedy="save its state_dict() alone, best as safetensors",
        ) from error
    except Exception as error:  # the unpickler raises many types at damaged bytes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise UserError(
            f"not a torch checkpoint, or cut short: {reason}",
            where=str(path),
            remedy="fetch it again",
        ) from error
    return _tensors(document, path)


def _tensors(document: object, path: Path) -> dict[str, Tensor]:
    for _ in range(_DEEPEST):  # not forever: a file may hold a state that holds itself
        document = _inner(document)
    if isinstance(document, dict):
        tensors = {_unwrapped(str(k)): v for k, v in document.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise UserError("holds no tensors", where=str(path), remedy="save the model's state_dict()")


def _inner(document: object) -> object:
    """Return what a training script's document nests the state in, or the document itself."""
    if not isinstance(document, dict):
        return document
    nested = (document[key] for key in _NESTED if isinstance(document.get(key), dict))
    return next(nested, document)


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def load_weights(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy `state` into `model`, all of it.

    Raises:
        UserError: tensors are missing, unknown, of another shape or no plain floats where the model
            has floats; the message names them and the model is left as it was.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and not _is_counter(name)]
    unknown = [name for name in state if name not in own and not _is_counter(name)]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    mistyped = [
        f"{name} {_kind(state[name])} instead of {_kind(tensor)}"
        for name, tensor in own.items()
        if name in state and not _is_counter(name) and not _converts(state[name], tensor)
    ]
    problems = [
        f"{len(names)} {kind}: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"
        for kind, names in (
            ("missing", missing),
            ("unknown", unknown),
            ("misshapen", misshapen),
            ("mistyped", mistyped),
        )
        if names
    ]
    if problems:
        raise UserError(
            f"does not fit {type(model).__name__}: {'; '.join(problems)}",
            where=where,
            remedy="check the model's name and number of classes",
        )
    model.load_state_dict(dict(state), strict=False)


def _converts(given: Tensor, own: Tensor) -> bool:
    """Tell whether copying keeps the values: between float types, but not from codes to floats."""
    plain = given.layout == own.layout and not given.is_meta
    return plain and given.is_floating_point() == own.is_floating_point()


def _kind(tensor: Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"{dtype} without values"
    return dtype if tensor.layout == torch.strided else f"{dtype}, not strided"


def _is_counter(name: str) -> bool:
    """BatchNorm's batch counter matters to training only."""
    return name.endswith("num_batches_tracked")


def classes_in(state: Mapping[str, Tensor], classifier: str) -> int | None:
    """Return the number of classes of a state, from the rows of its classifier's weight."""
    weight = state.get(f"{classifier}.weight")
    return None if weight is None else int(weight.shape[0])
