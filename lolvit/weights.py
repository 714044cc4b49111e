"""Find weights: a file, a checkpoint in this package, or one on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from lolvit.errors import UserError

# Checkpoints in the package, named like timm's: MODEL.TAG
FOLDER = Path(__file__).parent / "models" / "pretrained"
HUB = "hf-hub:"
_SUFFIX = ".safetensors"
_FILE, _CONFIG = "model.safetensors", "config.json"


def bundled_weights() -> list[str]:
    """Return the names of the checkpoints in the package, such as lolvit_xx.digits."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in FOLDER.glob(f"*{_SUFFIX}"))


def find_weights(reference: Path | str) -> Path:
    """Return the file of a path, of a checkpoint in the package (`lolvit_xx.digits`), or of a model
    on the Hub (`hf-hub:OWNER/NAME`), which is downloaded to the Hub's cache.

    Raises:
        UserError: there is no such file, or it can't be downloaded.
        ModuleNotFoundError: huggingface_hub is not installed.
    """
    text = str(reference)
    if text.startswith(HUB):
        return _download(text, _FILE)
    path = Path(text)
    if path.is_file():
        return path
    if text in bundled_weights():
        return FOLDER / f"{text}{_SUFFIX}"
    raise UserError(
        "no such checkpoint",
        where=text,
        remedy=f"give a file, {HUB}OWNER/NAME, or one of: {', '.join(bundled_weights())}",
    )


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
