"""Save and load weights: safetensors with a configuration, shards of it, or torch files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from lolvit.documents import parse_json
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit.models.hub import training_config
from lolvit.models.torch_file import read_torch

_CONFIG_KEY = "lolvit"
_LISTED = 4  # names per problem in a message


def save_checkpoint(model: nn.Module, path: Path, config: Mapping[str, Any]) -> None:
    """Write the model's state and its configuration (plain JSON values) as one safetensors file.

    Raises:
        UserError: the file cannot be written; a previous file is untouched.
    """
    state = {  # copies: the format does not allow shared memory, as tied weights have
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    write_atomic(path, save_safetensors(state, metadata={_CONFIG_KEY: json.dumps(dict(config))}))


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a checkpoint and its configuration: what `save_checkpoint` wrote, or
    the options that a training script recorded.

    Nothing in the file is executed: it is safetensors, or loaded by torch with `weights_only`. An
    index of shards (`model.safetensors.index.json`) stands for all of them.

    Raises:
        UserError: the file is missing, truncated, not a checkpoint, or would execute code.
    """
    if not path.is_file():
        raise UserError("no such checkpoint", where=str(path), remedy="check the path")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".json":
        return _read_shards(path), {}
    tensors, options = read_torch(path)
    return tensors, training_config(options)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            config = parse_json((file.metadata() or {}).get(_CONFIG_KEY, "{}").encode())
            if not isinstance(config, dict):
                raise ValueError("its configuration is not an object")
            return {name: file.get_tensor(name) for name in file.keys()}, config  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"not a safetensors file, or cut short: {error}",
            where=str(path),
            remedy="download it again",
        ) from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    """Return the tensors of all shards that an index names; they lie beside it.

    Raises:
        UserError: it is no index, a shard is missing or damaged, or lacks a tensor.
    """
    try:
        names = parse_json(index.read_bytes())["weight_map"]
        shards = sorted({str(shard) for shard in names.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "is not an index of shards (it has no weight_map)",
            where=str(index),
            remedy="give the weights themselves",
        ) from error
    if not shards:
        raise UserError(
            "names no shards: its weight_map is empty", where=str(index),
            remedy="give the weights themselves",
        )  # fmt: skip
    state: dict[str, Tensor] = {}
    for shard in shards:
        if Path(shard).name != shard:
            raise UserError(
                f"names a shard outside of its folder: {shard}", where=str(index),
                remedy="download it again",
            )  # fmt: skip
        path = index.parent / shard
        if not path.is_file():
            raise UserError("missing", where=str(path), remedy="download every shard")
        state |= (_read_safetensors(path) if shard.endswith(".safetensors") else read_torch(path))[
            0
        ]
    missing = [name for name in names if name not in state]
    if missing:
        raise UserError(
            f"its shards lack {len(missing)} tensors: {', '.join(missing[:_LISTED])}",
            where=str(index),
            remedy="download every shard",
        )
    return state


def load_weights(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy `state` into `model`, strictly.

    Raises:
        UserError: tensors are missing, unknown, or have another shape or an incompatible dtype; the
            message names them, and the model is unchanged.
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
        f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{' …' if len(names) > _LISTED else ''}"
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
    """Whether copying keeps the values: between float dtypes, but not from integers to floats."""
    plain = given.layout == own.layout and not given.is_meta
    return plain and given.is_floating_point() == own.is_floating_point()


def _kind(tensor: Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"{dtype} without values"
    return dtype if tensor.layout == torch.strided else f"{dtype}, not strided"


def _is_counter(name: str) -> bool:
    """Whether a tensor is BatchNorm's batch counter, which only training uses."""
    return name.endswith("num_batches_tracked")


def classes_in(state: Mapping[str, Tensor], classifier: str) -> int | None:
    """Return the number of classes, from the rows of the classifier's weight; None without one."""
    weight = state.get(f"{classifier}.weight")
    return None if weight is None else int(weight.shape[0])


def channels_in(state: Mapping[str, Tensor], first_conv: str) -> int | None:
    """Return the channels of the image, from the first convolution's weight; None without one."""
    weight = state.get(f"{first_conv}.weight")
    return None if weight is None or weight.dim() != 4 else int(weight.shape[1])
