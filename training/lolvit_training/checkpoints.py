"""The files of a run: `last.pt` to resume from, `model.safetensors` to use."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit.models.torch_file import load_torch_file
from lolvit_data.table import source_name
from lolvit_training.run_files import LAST


def save_last(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run, atomically: tensors and plain values alone.

    Raises:
        UserError: it can't be written, e.g. the disk is full; the previous one is kept.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(folder / LAST, buffer.getvalue())


def load_last(folder: Path) -> dict[str, Any]:
    """Read the state of a run; nothing in the file is executed.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / LAST
    try:
        state: dict[str, Any] = load_torch_file(path)
    except FileNotFoundError as error:
        raise UserError(
            "holds no run to resume", where=str(folder), remedy="leave out --resume"
        ) from error
    except Exception as error:  # the unpickler raises many types at damaged bytes
        raise UserError(
            "is damaged and can't be resumed",
            where=str(path),
            remedy="start again in another --out",
        ) from error
    if not isinstance(state, dict) or "conditions" not in state:
        raise UserError(
            "is not a checkpoint of lolvit train", where=str(path), remedy="choose another --out"
        )
    return state


def check_same_run(saved: dict[str, Any], current: dict[str, Any], folder: Path) -> None:
    """Check that a saved run has the current settings.

    Raises:
        UserError: its model, data or recipe differ; the message names the settings.
    """
    before, now = (
        {**flattened(each), "data": source_name(str(each.get("data")))}  # it may have been moved
        for each in (saved, current)
    )
    different = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    if different:
        shown = ", ".join(f"{k} {before.get(k)} instead of {now.get(k)}" for k in different[:3])
        raise UserError(
            f"holds a run with other settings: {shown}",
            where=str(folder),
            remedy="choose another --out",
        )


def flattened(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return a nested table's values by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flattened(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found
