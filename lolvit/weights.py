"""Find weights: a file, a checkpoint in this package, or one on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

from lolvit.errors import UserError

# Checkpoints in the package, named like timm's: MODEL.TAG
FOLDER = Path(__file__).parent / "models" / "pretrained"
HUB = "hf-hub:"
_SUFFIX = ".safetensors"
_FILE, _CONFIG = "model.safetensors", "config.json"
# The weights in a folder, in order of preference: of Hugging Face, of timm's train.py.
_IN_FOLDER = (
    _FILE, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "model_best.pth.tar", "last.pth.tar", "best.pth", "best.pt", "best.ckpt", "last.ckpt",
)  # fmt: skip
_SUFFIXES = (_SUFFIX, ".bin", ".pth", ".pt", ".ckpt", ".tar")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(\.safetensors|\.bin)")
_LISTED = 6


def bundled_weights() -> list[str]:
    """Return the names of the checkpoints in the package, such as lolvit_xx.digits."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in FOLDER.glob(f"*{_SUFFIX}"))


def find_weights(reference: Path | str) -> Path:
    """Return the file of a path, of a checkpoint in the package (`lolvit_xx.digits`), or of a model
    on the Hub (`hf-hub:OWNER/NAME`), which is downloaded to the Hub's cache. Of a folder, as the
    Hub or timm's train.py leave it, return the weights in it; of one shard, the index of all.

    Raises:
        UserError: there is no such file, or it can't be downloaded.
        ModuleNotFoundError: huggingface_hub is not installed.
    """
    text = str(reference)
    if text.startswith(HUB):
        return _download(text, _FILE)
    path = Path(text)
    if path.is_file():
        return _whole(path)
    if path.is_dir():
        return _in_folder(path)
    if text in bundled_weights():
        return FOLDER / f"{text}{_SUFFIX}"
    raise UserError(
        "no such checkpoint",
        where=text,
        remedy=f"give a file, a folder, {HUB}OWNER/NAME, or one of: {', '.join(bundled_weights())}",
    )


def _whole(path: Path) -> Path:
    """Return the index of a shard's set, if it lies beside; otherwise the file itself."""
    shard = _SHARD.fullmatch(path.name)
    if shard is None:
        return path
    index = path.parent / f"{shard[1]}{shard[2]}.index.json"
    return index if index.is_file() else path


def _in_folder(folder: Path) -> Path:
    """Return the weights in a folder.

    Raises:
        UserError: there are none, or several that may be meant.
    """
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _SUFFIXES)
    wholes = sorted({_whole(path) for path in found})
    if len(wholes) == 1:
        return wholes[0]
    if not wholes:
        raise UserError("holds no weights", where=str(folder), remedy="give a checkpoint's file")
    more = " …" if len(wholes) > _LISTED else ""
    raise UserError(
        f"holds {len(wholes)} checkpoints", where=str(folder),
        remedy=f"give one of: {', '.join(path.name for path in wholes[:_LISTED])}{more}",
    )  # fmt: skip


def hub_config(reference: Path | str) -> Path | None:
    """Return the configuration file of weights on the Hub; None for weights elsewhere.

    Raises:
        UserError: it can't be downloaded.
    """
    text = str(reference)
    return _download(text, _CONFIG) if text.startswith(HUB) else None


def _download(reference: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # each retry is a warning of several lines
    repository, _, revision = reference.removeprefix(HUB).partition("@")
    try:
        return Path(hf_hub_download(repository, name, revision=revision or None))
    except Exception as error:  # the library and what it uses raise many types
        reason = next((line for line in str(error).splitlines() if line.strip()), "no answer")
        raise UserError(
            f"can't be downloaded from the Hub: {reason}",
            where=reference,
            remedy="check the name and the network, or give a file",
        ) from error
