"""`lolvit save` and `lolvit push`."""

from __future__ import annotations

from pathlib import Path

import click

from lolvit.errors import UserError
from lolvit.output import console, print_json, results

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("checkpoint", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="Output folder.")
@click.option(
    "--license",
    "--licence",
    "licence",
    default="apache-2.0",
    show_default=True,
    help="License of the weights.",
)
@click.option("--half", is_flag=True, help="Store the weights in fp16.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def save(checkpoint: Path, out: Path, licence: str, half: bool, as_json: bool) -> None:
    """Save CHECKPOINT for publishing: weights, timm's configuration and a model card."""
    from lolvit.models.loading import load_checkpoint
    from lolvit_training.card import save_folder

    save_folder(load_checkpoint(None, checkpoint), out, licence=licence, half=half)
    if as_json:
        print_json({"folder": str(out)})
    else:
        results().print(f"written to {out}")


@click.command()
@click.argument("folder", type=_PATH)
@click.argument("repository")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def push(folder: Path, repository: str, private: bool, as_json: bool) -> None:
    """Upload a FOLDER that `lolvit save` wrote to the Hugging Face Hub, as OWNER/NAME.

    The token is the hub's own (`hf auth login`, or HF_TOKEN).
    """
    for name in ("model.safetensors", "config.json", "README.md"):
        if not (folder / name).is_file():
            raise UserError(f"has no {name}", where=str(folder), remedy="run: lolvit save")
    console().print(f"uploading to {repository}")
    address = _upload(folder, repository, private)
    if as_json:
        print_json({"url": address})
    else:
        results().print(address)


def _upload(folder: Path, repository: str, private: bool) -> str:
    from huggingface_hub import HfApi

    try:
        hub = HfApi()
        address = str(hub.create_repo(repository, private=private, exist_ok=True))
        hub.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # the library and what it uses raise many types
        reason = next((line for line in str(error).splitlines() if line.strip()), "no answer")
        raise UserError(
            f"can't be uploaded: {reason}",
            where=repository,
            remedy="check the network and the token",
        ) from error
    return address
