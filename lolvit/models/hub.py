"""Read and write timm's `config.json` of weights on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lolvit.documents import parse_json
from lolvit.errors import UserError
from lolvit.manifest import Preprocessing


def read_timm_config(path: Path) -> dict[str, Any]:
    """Return a timm configuration as the configuration of a lolvit checkpoint.

    Raises:
        UserError: it is not a timm configuration.
    """
    try:
        document = parse_json(path.read_bytes())
        config = {"model": document["architecture"], "num_classes": document["num_classes"]}
        data = document.get("pretrained_cfg", {})
        if "label_names" in document:
            config["labels"] = list(document["label_names"])
        if {"input_size", "mean", "std"} <= set(data):
            config["preprocess"] = Preprocessing(
                size=tuple(data["input_size"][1:]),
                crop_pct=data.get("crop_pct", 0.875),
                interpolation=data.get("interpolation", "bicubic"),
                mean=tuple(data["mean"]),
                std=tuple(data["std"]),
            ).model_dump()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"not a timm configuration: {error}", where=str(path), remedy="give the file itself"
        ) from error
    return config


def timm_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return timm's configuration of a lolvit checkpoint, which `timm.create_model` reads from a
    folder or the Hub."""
    preprocessing = Preprocessing.model_validate(config["preprocess"])
    document: dict[str, Any] = {
        "architecture": config["model"],
        "num_classes": config["num_classes"],
        "pretrained_cfg": {
            "input_size": [3, *preprocessing.size],
            "crop_pct": preprocessing.crop_pct,
            "interpolation": preprocessing.interpolation,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": config["num_classes"],
        },
    }
    if config.get("labels"):
        document["label_names"] = list(config["labels"])
    return document
