"""Print the table of docs/photos.md: what becomes of every pretrained configuration of timm.

python -m tests.models.timm_configurations
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import timm

from lolvit.errors import UserError
from lolvit.manifest import Preprocessing
from lolvit.models.factory import timm_preprocessing

_FOLLOWED = {
    "crop": "crop mode center: `resize` is `crop`",
    "stretch": "crop mode squash: `resize` is `stretch`",
    "letterbox": "crop mode border: `resize` is `letterbox`",
}


@dataclass(frozen=True)
class Configuration:
    """A pretrained configuration; `preprocessing` is None where it is refused with `reason`."""

    name: str
    crop_mode: str
    preprocessing: Preprocessing | None
    reason: str | None
    fixed_size: bool
    classes: int


def configurations() -> list[Configuration]:
    """Return all configurations of weights that timm can fetch; no model is created."""
    return [_configuration(name) for name in timm.list_pretrained()]


def _configuration(name: str) -> Configuration:
    config = timm.models.get_pretrained_cfg(name)
    channels, height, width = config.input_size
    preprocessing, reason = None, None
    try:
        preprocessing = timm_preprocessing(config.to_dict(), (height, width), channels, name)
    except UserError as error:
        reason = error.what
    return Configuration(
        name=name,
        crop_mode=config.crop_mode,
        preprocessing=preprocessing,
        reason=reason,
        fixed_size=bool(config.fixed_input_size),
        classes=config.num_classes,
    )


def table(found: list[Configuration]) -> list[str]:
    """Return the lines of the table, in Markdown."""
    rows = [("all", len(found))]
    followed = [each.preprocessing for each in found if each.preprocessing is not None]
    for resize, text in _FOLLOWED.items():
        rows.append((f"followed: {text}", sum(each.resize == resize for each in followed)))
    rows.append(("of these with `crop_pct` above 1", sum(each.crop_pct > 1 for each in followed)))
    reasons = Counter(each.reason for each in found if each.reason)
    rows += [(f"refused: {reason}", count) for reason, count in sorted(reasons.items())]
    rows.append(
        ("built for one image size (`img_size` is passed)", sum(c.fixed_size for c in found))
    )
    rows.append(("without classes: outputs are `features`", sum(c.classes == 0 for c in found)))
    return ["| configurations | number |", "|---|---|", *(f"| {a} | {b:,} |" for a, b in rows)]


if __name__ == "__main__":
    print(f"timm {timm.__version__}")
    print("\n".join(table(configurations())))
