"""A folder to publish: weights, timm's configuration, and a model card."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lolvit.errors import UserError
from lolvit.files import staged_folder
from lolvit.models.checkpoint import save_checkpoint
from lolvit.models.factory import macs_of, parameters_of
from lolvit.models.hub import timm_config
from lolvit.models.loading import LoadedCheckpoint
from lolvit.text import markdown, visible
from lolvit_data.table import source_name

_PLAIN = re.compile(r"[A-Za-z][\w.+-]*")  # text that YAML takes for nothing else
_NEEDED = ("data", "recipe", "metrics", "preprocess")


@dataclass(frozen=True)
class _Kind:
    """What a card calls the models of a task, the hub's tag for it, the library that loads them,
    and what its example prints of a prediction."""

    title: str
    tag: str
    library: str
    prediction: str


_KINDS = {
    "classification": _Kind("Image classifier", "image-classification", "timm", "top"),
    "detection": _Kind("Object detector", "object-detection", "lolvit", "objects"),
    "segmentation": _Kind("Segmentation model", "image-segmentation", "lolvit", "shares()"),
}


def save_folder(loaded: LoadedCheckpoint, folder: Path, *, licence: str, half: bool) -> None:
    """Write `model.safetensors`, `config.json` and `README.md`, all or nothing.

    Raises:
        UserError: the checkpoint does not record its training, or the folder can't be written.
    """
    if (loaded.config.get("metrics") or {}).get("teacher") is not None:
        raise UserError(
            "was trained on a teacher's outputs: it has no accuracy to write a card with",
            where=loaded.name,
            remedy="share the checkpoint itself, which records its training",
        )
    missing = [name for name in _NEEDED if name not in loaded.config]
    if missing:
        raise UserError(
            f"does not record its {', '.join(missing)}, so that no card can be written",
            where=loaded.name,
            remedy="save a checkpoint that lolvit train wrote",
        )
    with staged_folder(folder) as place:
        model = copy.deepcopy(loaded.model).half() if half else loaded.model
        # where the data lie on this machine is nobody else's business
        published = {**loaded.config, "data": source_name(loaded.config["data"])}
        save_checkpoint(model, place / "model.safetensors", published)
        config = json.dumps(timm_config(loaded.config), indent=2) + "\n"
        (place / "config.json").write_text(config, encoding="utf-8")
        (place / "README.md").write_text(card(loaded, licence), encoding="utf-8")


def card(loaded: LoadedCheckpoint, licence: str) -> str:
    """Return a model card in Markdown, with the metadata that the hub reads."""
    config, size = loaded.config, loaded.preprocessing().size
    data = source_name(config["data"])
    kind = _KINDS[loaded.task]
    command = f"lolvit train --data {quoted_line(data)} --model {loaded.name} --recipe recipe.toml"
    if config.get("weights"):
        command += f" --weights {quoted_line(config['weights'])}"
    recipe = "\n".join(_lines(config["recipe"]))
    classes = markdown(", ".join(loaded.labels() or ()) or f"{config['num_classes']}")
    name, shown = markdown(loaded.name), markdown(data)
    return f"""---
license: {licence if _PLAIN.fullmatch(licence) else json.dumps(licence)}
library_name: {kind.library}
tags: [{kind.tag}, lolvit]
---
# {name}, trained on {shown}

{kind.title}: {parameters_of(loaded.model) / 1e6:.2f} M parameters, \
{macs_of(loaded.model, size) / 1e6:.0f} M multiply-adds at {size[0]}x{size[1]}.

- Classes: {classes}
- Data: {shown}, {_part(config.get("limit"))}
- Result: {_result(loaded.task, config["metrics"])} of the test split, \
in eager PyTorch in fp32, at the end of training
- Processes: {config.get("processes", 1)}; lolvit {config.get("lolvit", "")}

Used, in the folder of this card:

```python
import lolvit

exported = lolvit.export("{loaded.name}", weights="model.safetensors", targets=["onnx"])
with lolvit.load(exported.folder) as predictor:
    print(predictor("photo.jpg").{kind.prediction})
```

Trained:

```sh
{command}{_option(config.get("limit"))} --out run
```

`recipe.toml`:

```toml
{recipe}
```
"""


def _part(limit: int | None) -> str:
    """Return how much of the data was trained on."""
    return "its training split" if limit is None else f"{limit} images of its training split"


def _option(limit: int | None) -> str:
    return "" if limit is None else f" --limit {limit}"


def _result(task: str, metrics: Mapping[str, Any]) -> str:
    """Return the metrics of a checkpoint, and on how many images they are."""
    images = f"{metrics['images']} images"
    if task == "detection":
        shown = ", ".join(f"{name.upper()} {metrics[name]:.2%}" for name in ("ap", "ap50", "ap75"))
        return f"{shown} of {metrics['objects']} objects in {images}"
    if task == "segmentation":
        right = metrics["pixel_accuracy"]
        return f"mIoU {metrics['miou']:.2%}, {right:.2%} of pixels right in {images}"
    top5 = f", top-5 {metrics['top5']:.2%}" if metrics.get("top5") is not None else ""
    return f"top-1 {metrics['top1']:.2%}{top5} on {images}"


def quoted_line(text: str) -> str:
    """Return text as one word of a shell, on one line, so that it ends no block of code."""
    return shlex.quote(" ".join(visible(text).split()))


def _lines(recipe: Mapping[str, Any]) -> list[str]:
    """Return a recipe as TOML: values first, then tables; what is not set is left out."""
    plain = {name: value for name, value in recipe.items() if not isinstance(value, dict)}
    lines = [f"{name} = {_toml(value)}" for name, value in plain.items() if value is not None]
    for name, table in recipe.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *_lines(table)]
    return lines


def _toml(value: Any) -> str:
    """Return a number, text or a list of them as TOML, which writes them as JSON does."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
