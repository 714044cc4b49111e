"""Resolve model names: a variant, a baseline or its alias, or timm/NAME."""

from __future__ import annotations

import timm

from lolvit.errors import UserError
from lolvit.model_names import ALIASES, KNOWN, TIMM, unknown_in_timm, without_prefix
from lolvit.registry import choose


def resolve_name(name: str) -> str:
    """Return timm's name of a model.

    Raises:
        UserError: no variant, baseline or timm model has that name; the message suggests one.
    """
    if name.startswith(TIMM):
        bare = name.removeprefix(TIMM)
        if timm.is_model(bare):
            return _with_known_tag(bare)
        raise unknown_in_timm(bare, timm.list_models())
    if name not in KNOWN and timm.is_model(name):
        raise without_prefix(name)
    return ALIASES.get(choose("model", name, KNOWN), name)


def _with_known_tag(name: str) -> str:
    """Return a name of timm, such as resnet18.a1_in1k, whose tag is one of the model's.

    Raises:
        UserError: timm knows no such tag.
    """
    try:
        timm.models.get_pretrained_cfg(name)
    except RuntimeError as error:
        architecture, _, tag = name.partition(".")
        names = timm.list_models(f"{architecture}.*", include_tags=True)
        tags = ", ".join(each.partition(".")[2] for each in names)
        raise UserError(
            f"timm's model '{architecture}' has no tag '{tag}'",
            remedy=f"choose from: {tags}" if tags else f"write timm/{architecture}",
        ) from error
    return name
