"""Save and load weights: safetensors with a configuration, or torch files with `weights_only`."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
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

# Keys of the state dict in training scripts' torch files; the moving average is preferred.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
_MAX_NESTING = 4
# Prefixes of DistributedDataParallel and torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")
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
    """Return the tensors of a checkpoint and its configuration (empty for a torch file).

    Nothing in the file is executed: it is safetensors, or loaded by torch with `weights_only`.

    Raises:
        UserError: the file is missing, truncated, not a checkpoint, or would execute code.
    """
    if not path.is_file():
        raise UserError("no such checkpoint", where=str(path), remedy="check the path")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path), {}


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


def load_torch_file(path: Path) -> Any:
    """Return what a torch file holds, on the CPU. Nothing in it is executed, and it takes no more
    memory than the file has bytes.

    Raises:
        pickle.UnpicklingError: it holds more than tensors and plain values.
        Exception: of many types, if it is damaged.
    """
    check_stored(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about damaged bytes: the error says it
        return torch.load(path, map_location="cpu", weights_only=True)


def check_stored(path: Path) -> None:
    """Check that a zip archive's members are stored as torch writes them: compressed or overlapping
    ones can be a thousand times as large as the file.

    Raises:
        ValueError: they are larger than the file.
        zipfile.BadZipFile, OSError: it can't be read.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > path.stat().st_size:
        raise ValueError(f"its members have {size} bytes, the file {path.stat().st_size}")


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        document = load_torch_file(path)
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
            remedy="download it again",
        ) from error
    return _tensors(document, path)


def _tensors(document: object, path: Path) -> dict[str, Tensor]:
    for _ in range(_MAX_NESTING):  # bounded, because a dict in a file may contain itself
        document = _inner(document)
    if isinstance(document, dict):
        tensors = {_unwrapped(str(k)): v for k, v in document.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise UserError("holds no tensors", where=str(path), remedy="save the model's state_dict()")


def _inner(document: object) -> object:
    """Return the dict nested under one of the keys of training scripts, or the document itself."""
    if not isinstance(document, dict):
        return document
    nested = (document[key] for key in _NESTED if isinstance(document.get(key), dict))
    return next(nested, document)


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


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
