"""Resolve model names: a variant, a baseline or its alias, or timm/NAME."""

from __future__ import annotations

import timm

from lolvit.errors import UserError
from lolvit.registry import choose
from lolvit.variants import VARIANTS

# MobileViT's paper has XXS, XS and S; LOLViT's abstract has an X, interpreted as XS.
ALIASES = {"mobilevit_x": "mobilevit_xs"}
BASELINES = {variant.baseline for variant in VARIANTS.values()}


def resolve_name(name: str) -> str:
    """Return timm's name of a model.

    Raises:
        UserError: no variant, baseline or timm model has that name; the message suggests one.
    """
    if name.startswith("timm/"):
        bare = name.removeprefix("timm/")
        if timm.is_model(bare):
            return _with_known_tag(bare)
        near = timm.list_models(f"*{bare.split('_')[0][:6]}*")[:5]
        hint = f"did you mean one of: {', '.join(near)}" if near else "see timm.list_models()"
        raise UserError(f"timm has no model '{bare}'", remedy=hint)
    available = [*VARIANTS, *BASELINES, *ALIASES]
    if name not in available and timm.is_model(name):
        raise UserError(f"unknown model '{name}'", remedy=f"for timm's model, write timm/{name}")
    return ALIASES.get(choose("model", name, available), name)


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
