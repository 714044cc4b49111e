"""What a model may be called: a variant, a baseline or its alias, or timm/NAME."""

from __future__ import annotations

import timm

from lolvit.errors import UserError
from lolvit.registry import choose
from lolvit.variants import VARIANTS

# The MobileViT paper names XXS, XS and S; the source of LOLViT speaks of an X, which we read as XS.
ALIASES = {"mobilevit_x": "mobilevit_xs"}
BASELINES = {variant.baseline for variant in VARIANTS.values()}


def resolve_name(name: str) -> str:
    """Return timm's name of a model.

    Raises:
        UserError: no variant, baseline or timm model has that name; the message guesses at one.
    """
    if name.startswith("timm/"):
        bare = name.removeprefix("timm/")
        if timm.is_model(bare):
            return bare
        near = timm.list_models(f"*{bare.split('_')[0][:6]}*")[:5]
        hint = f"did you mean one of: {', '.join(near)}" if near else "see timm.list_models()"
        raise UserError(f"timm has no model '{bare}'", remedy=hint)
    known = [*VARIANTS, *BASELINES, *ALIASES]
    if name not in known and timm.is_model(name):
        raise UserError(f"unknown model '{name}'", remedy=f"for timm's, write timm/{name}")
    return ALIASES.get(choose("model", name, known), name)


def folder_name(name: str, size: tuple[int, int]) -> str:
    """Return the name of a model's export folder, e.g. lolvit_x-256x256."""
    bare = resolve_name(name)
    return f"{bare}-{size[0]}x{size[1]}"
