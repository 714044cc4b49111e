"""Read the configurations that other tools keep beside weights; write timm's `config.json`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lolvit.documents import parse_json
from lolvit.errors import UserError
from lolvit.manifest import Preprocessing

# Fields of timm's `pretrained_cfg` that change the input.
DATA_FIELDS = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")
# Arguments of timm's create_model that `create_model` here has of its own.
_OWN_ARGUMENTS = ("num_classes", "in_chans", "img_size")
# Keys of training scripts' options for the model's name, in order of preference.
_MODEL_KEYS = ("model", "model_name", "arch", "architecture", "backbone")


def read_timm_config(path: Path) -> dict[str, Any]:
    """Return a timm configuration as the configuration of a lolvit checkpoint.

    Raises:
        UserError: it is not a timm configuration.
    """
    try:
        document = parse_json(path.read_bytes())
        data = document.get("pretrained_cfg") or document  # earlier ones are flat
        config: dict[str, Any] = {
            "model": str(document["architecture"]),
            "num_classes": int(
                document["num_classes"] if "num_classes" in document else data["num_classes"]
            ),
            "pretrained_cfg": {key: data[key] for key in DATA_FIELDS if data.get(key) is not None},
        }
        arguments = dict(document.get("model_args") or {})
        if arguments.get("img_size"):
            sides = arguments["img_size"]
            sides = list(sides) if isinstance(sides, (list, tuple)) else [sides, sides]
            config["pretrained_cfg"]["input_size"] = [arguments.get("in_chans", 3), *sides]
        config["model_args"] = {
            name: value for name, value in arguments.items() if name not in _OWN_ARGUMENTS
        }
        labels = document.get("label_names") or data.get("label_names")
        if labels:
            config["labels"] = _in_order(labels)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"not a timm configuration: {error}", where=str(path), remedy="give the file itself"
        ) from error
    return config


def _in_order(labels: Any) -> list[str]:
    """Return labels given as a list, or by their numbers."""
    if isinstance(labels, Mapping):
        return [str(labels[number]) for number in sorted(labels, key=int)]
    return [str(label) for label in labels]


def config_beside(weights: Path) -> tuple[dict[str, Any], str | None]:
    """Return the configuration in the folder of a weights file, and its file's name: timm's
    `config.json`, the `args.yaml` of its train.py, or of transformers' files the labels and the
    normalization; ({}, None) if there is none.

    Raises:
        UserError: a file is damaged.
    """
    folder = weights.parent
    document = _json_beside(folder / "config.json")
    if "architecture" in document:
        return read_timm_config(folder / "config.json"), "config.json"
    if (folder / "args.yaml").is_file():
        return training_config(_yaml(folder / "args.yaml")), "args.yaml"
    config: dict[str, Any] = {}
    if isinstance(document.get("id2label"), Mapping):
        config["labels"] = _in_order(document["id2label"])
    processor = _json_beside(folder / "preprocessor_config.json")
    data = {
        ours: processor[theirs]
        for ours, theirs in (("mean", "image_mean"), ("std", "image_std"), ("crop_pct", "crop_pct"))
        if processor.get(theirs) is not None
    }
    if data:
        config["pretrained_cfg"] = data
    used = ["config.json"] * ("labels" in config) + ["preprocessor_config.json"] * bool(data)
    return config, " and ".join(used) or None


def _json_beside(path: Path) -> dict[str, Any]:
    """Return a JSON object; {} if there is no such file, or it is something else's."""
    if not path.is_file():
        return {}
    try:
        document = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"not a JSON file: {error}", where=str(path), remedy="fix it, or move it away"
        ) from error
    return document if isinstance(document, dict) else {}


def _yaml(path: Path) -> dict[str, Any]:
    yaml = importlib.import_module("yaml")  # timm needs it too; it has no types
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(
            f"not a YAML file: {error}", where=str(path), remedy="fix it, or move it away"
        ) from error
    return document if isinstance(document, dict) else {}


def training_config(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training script's options, such as those of timm's train.py, as the configuration of
    a lolvit checkpoint; what is not set there is left out."""
    config: dict[str, Any] = {}
    name = next((options[key] for key in _MODEL_KEYS if isinstance(options.get(key), str)), None)
    if name:
        config["trained_model"] = name
    if isinstance(options.get("num_classes"), int) and options["num_classes"] > 0:
        config["num_classes"] = options["num_classes"]
    data = {key: options[key] for key in DATA_FIELDS if options.get(key)}
    if "input_size" not in data and isinstance(options.get("img_size"), int):
        data["input_size"] = [int(options.get("in_chans") or 3), *[options["img_size"]] * 2]
    if data:
        config["pretrained_cfg"] = data
    return config


def timm_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return timm's configuration of a lolvit checkpoint, which `timm.create_model` reads from a
    folder or the Hub; that of a detector or segmentation model, whose backbone alone is timm's,
    names its task."""
    preprocessing = Preprocessing.model_validate(config["preprocess"])
    crop_mode = {"crop": "center", "stretch": "squash", "letterbox": "border"}[preprocessing.resize]
    document: dict[str, Any] = {
        "architecture": config["model"],
        "num_classes": config["num_classes"],
        "pretrained_cfg": {
            "input_size": [preprocessing.channels, *preprocessing.size],
            "crop_pct": preprocessing.crop_pct,
            "crop_mode": crop_mode,
            "interpolation": preprocessing.interpolation,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": config["num_classes"],
        },
    }
    if config.get("task", "classification") != "classification":
        document["task"] = config["task"]
    if config.get("labels"):
        document["label_names"] = list(config["labels"])
    return document
