"""Read torch's files as training scripts write them: as data, nothing in them is executed."""

from __future__ import annotations

import argparse
import pathlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lolvit.errors import UserError
from lolvit.models.pickled_numpy import stand_ins
from lolvit.models.pickled_objects import PickledObject, stand_in, with_tensors

# Keys of the state dict in training scripts' files; the moving average is preferred.
_NESTED = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema",
    "state_dict", "model_state_dict", "model_state", "model", "net", "network",
    "module", "weights", "params_ema", "params",
)  # fmt: skip
_MAX_NESTING = 4
# Prefixes of DistributedDataParallel and torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")
# AveragedModel's count of updates, beside the weights.
_COUNTS = ("n_averaged",)
_LISTED = 6  # keys and types in a message
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_AS_STATE = "save its state_dict() alone, best as safetensors"


def read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file, and what training scripts record beside them: the model's name,
    and their options.

    Raises:
        UserError: the file is damaged, is of another kind, holds no tensors, or would run code.
    """
    _refuse_other_kinds(path)
    try:
        document = load_torch_file(path)
    except pickle.UnpicklingError as error:
        document = _with_stand_ins(path, error)
    except Exception as error:  # the unpickler raises many types at damaged bytes
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise UserError(
            f"not a torch checkpoint, or cut short: {reason}",
            where=str(path),
            remedy="download it again",
        ) from error
    return _tensors(document, path), _recorded(document)


def load_torch_file(path: Path, known: Iterable[Any] = ()) -> Any:
    """Return what a torch file holds, on the CPU. Nothing in it is executed, and it takes no more
    memory than the file has bytes. Beside tensors it may hold plain values, `_harmless` types, and
    `known` ones.

    Raises:
        pickle.UnpicklingError: it holds other types.
        Exception: of many types, if it is damaged.
    """
    check_stored(path)
    allowed = [*_harmless(), *known]
    with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about damaged bytes: the error says it
        return torch.load(path, map_location="cpu", weights_only=True)


def check_stored(path: Path) -> None:
    """Check that a zip archive's members are stored as torch writes them: compressed or overlapping
    ones can be a thousand times as large as the file.

    Raises:
        ValueError: they are larger than the file, or its directory is damaged.
        OSError: it can't be read.
    """
    if not _is_zip(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if size > path.stat().st_size:
        raise ValueError(f"its members have {size} bytes, the file {path.stat().st_size}")


def _harmless() -> Iterator[Any]:
    """Yield the types, beside torch's own, whose construction runs no code of a file: options of
    argparse, paths, and stand-ins for numpy's numbers and arrays."""
    yield argparse.Namespace
    yield from stand_ins()
    for kind in ("PurePosixPath", "PosixPath"):
        yield pathlib.PurePosixPath, f"pathlib.{kind}"
    for kind in ("PureWindowsPath", "WindowsPath"):
        yield pathlib.PureWindowsPath, f"pathlib.{kind}"


def _with_stand_ins(path: Path, error: Exception) -> object:
    """Return what a file holds beside objects of unknown classes; of pickled modules, the tensors.

    Raises:
        UserError: it holds no tensors, is damaged, or is of torch's format before zip files.
    """
    names = _unknown_types(path)
    refusal = _not_loaded(path, names or _GLOBAL.findall(str(error)))
    try:
        document = with_tensors(load_torch_file(path, [(stand_in(name), name) for name in names]))
    except Exception as failure:  # as in read_torch
        raise refusal from failure
    if not _holds_tensors(document, _MAX_NESTING):
        raise refusal from error
    return document


def _unknown_types(path: Path) -> list[str]:
    """Return the full names of the types and functions that a file needs and that are not known;
    none if that can't be told."""
    try:
        with torch.serialization.safe_globals(list(_harmless())):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001 - damaged, or of torch's format before zip files
        return []


def _not_loaded(path: Path, found: list[str]) -> UserError:
    """Return the error for a file with other types, which it names, or with damaged bytes."""
    what = f" ({_listed(found)})" if found else ", or is damaged"
    return UserError(
        f"holds more than weights{what}, and is not loaded", where=str(path), remedy=_AS_STATE
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")


def _refuse_other_kinds(path: Path) -> None:
    """Check what a file is by its first bytes and its members.

    Raises:
        UserError: it is a known kind of file that is no checkpoint.
    """
    with path.open("rb") as stream:
        head = stream.read(512)
    kind, remedy = "", "give the checkpoint itself"
    if head.startswith(b"version https://git-lfs"):
        kind, remedy = "a pointer of Git LFS, not the file itself", "run: git lfs pull"
    elif head.startswith(b"\x89HDF\r\n\x1a\n"):
        kind = "an HDF5 file, as Keras writes it"
    elif head[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        kind, remedy = "an HTML page", "download the file itself"
    elif path.suffix in (".onnx", ".tflite", ".pte", ".mlmodel"):
        kind, remedy = f"an artifact ({path.suffix})", "give the PyTorch weights it was made from"
    elif _is_zip(path):
        kind, remedy = _kind_of_archive(path)
    if kind:
        raise UserError(f"is {kind}", where=str(path), remedy=remedy)


def _is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, damaged ones included: on some of those `is_zipfile` raises
    itself."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _kind_of_archive(path: Path) -> tuple[str, str]:
    """Return what a zip file is, and the remedy; ('', '') for a torch file."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.partition("/")[2] or name for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return "", ""
    if any(name.startswith("code/") for name in members) and "constants.pkl" in members:
        return (
            "a TorchScript program, whose weights have no checkpoint's names",
            "give the state_dict() of the model that it was made from",
        )
    if any("exported_program" in name or name.startswith("models/") for name in members):
        return "a torch.export program", "give the state_dict() of the model that it was made from"
    if "data.pkl" not in members and any(name.endswith("config.json") for name in members):
        return "an archive of Keras", "give the PyTorch weights"
    return "", ""


def _tensors(document: object, path: Path) -> dict[str, Tensor]:
    top = document
    for _ in range(_MAX_NESTING):  # bounded, because a dict in a file may contain itself
        document = _inner(document)
    if isinstance(document, Mapping):
        tensors = {_unwrapped(str(k)): v for k, v in document.items() if isinstance(v, Tensor)}
        tensors = {name: tensor for name, tensor in tensors.items() if name not in _COUNTS}
        if tensors:
            return tensors
    keys = _keys(top)
    raise UserError(
        f"holds no tensors{f' under a known key; its keys: {keys}' if keys else ''}",
        where=str(path),
        remedy="save the model's state_dict()",
    )


def _inner(document: object) -> object:
    """Return the dict of tensors nested under one of the keys of training scripts, or the document
    itself."""
    if not isinstance(document, Mapping):
        return document
    nested = (document[key] for key in _NESTED if key in document)
    return next((each for each in nested if _holds_tensors(each, _MAX_NESTING)), document)


def _holds_tensors(document: object, depth: int) -> bool:
    """Whether a dict holds tensors, or does so under one of the keys of training scripts."""
    if not isinstance(document, Mapping) or depth == 0:
        return False
    if any(isinstance(value, Tensor) for value in document.values()):
        return True
    return any(_holds_tensors(document.get(key), depth - 1) for key in _NESTED)


def _keys(document: object) -> str:
    """Return the keys of a document, with the number of tensors of each nested dict."""
    if not isinstance(document, Mapping):
        return ""
    described = []
    for key, value in document.items():
        count = (
            sum(isinstance(v, Tensor) for v in value.values()) if isinstance(value, Mapping) else 0
        )
        described.append(f"{key} ({count} tensors)" if count else str(key))
    return _listed(described)


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _recorded(document: object) -> dict[str, Any]:
    """Return the options that training scripts keep beside the weights: `args` of timm and
    torchvision, `hyper_parameters` of Lightning, and `arch`."""
    if not isinstance(document, Mapping):
        return {}
    options: dict[str, Any] = {}
    for key in ("args", "hyper_parameters", "hparams", "config"):
        value = document.get(key)
        value = vars(value) if isinstance(value, argparse.Namespace) else value
        if isinstance(value, Mapping):
            options |= {
                str(name): each
                for name, each in value.items()
                if not isinstance(each, PickledObject)
            }
    if isinstance(document.get("arch"), str):
        options["model"] = document["arch"]
    return options
