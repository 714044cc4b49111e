"""The names of models, checked without loading torch or timm: before minutes of exporting a first
model, a mistake in a second one's name is found."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from lolvit.errors import UserError
from lolvit.registry import choose
from lolvit.variants import VARIANTS

TIMM = "timm/"  # how a name of timm's begins
# MobileViT's paper has XXS, XS and S; LOLViT's abstract has an X, interpreted as XS.
ALIASES = {"mobilevit_x": "mobilevit_xs"}
BASELINES = {variant.baseline for variant in VARIANTS.values()}
KNOWN = (*VARIANTS, *BASELINES, *ALIASES)
_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def (\w+)", re.MULTILINE)


def is_function(text: str) -> bool:
    """Whether a model is named as a function in the user's file: my_models.py:build."""
    return text.endswith(".py") or ".py:" in text


def check_name(name: str) -> None:
    """Check that a name may be one of a model; tags (resnet18.a1_in1k) are checked by
    `lolvit.models.names.resolve_name`, which loads timm.

    Raises:
        UserError: no variant, baseline or timm model has that name; the message suggests others.
    """
    source, registered = _timm_source(), _registered()
    bare = name.removeprefix(TIMM).partition(".")[0]
    if not name.startswith(TIMM):
        if name not in KNOWN and bare in registered:
            raise without_prefix(name)
        choose("model", name, KNOWN)
    # timm's former names stand in its sources as strings.
    elif source and bare not in registered and not re.search(rf"\b{re.escape(bare)}\b", source):
        raise unknown_in_timm(bare, registered)


def without_prefix(name: str) -> UserError:
    """Return the error for a name of timm's that lacks its prefix."""
    return UserError(f"unknown model '{name}'", remedy=f"for timm's model, write {TIMM}{name}")


def unknown_in_timm(bare: str, registered: Iterable[str]) -> UserError:
    """Return the error for a name that timm does not have, with the closest that it has."""
    near = difflib.get_close_matches(bare.lower(), registered, n=5, cutoff=0.6)
    hint = f"did you mean one of: {', '.join(near)}" if near else "see timm.list_models()"
    return UserError(f"timm has no model '{bare}'", remedy=hint)


@functools.cache
def _registered() -> tuple[str, ...]:
    """Return the names that timm's files register, and the variants, which register themselves."""
    return (*_REGISTERED.findall(_timm_source()), *VARIANTS)


@functools.cache
def _timm_source() -> str:
    """Return the text of all of timm's files of models; nothing if it is not installed."""
    spec = importlib.util.find_spec("timm")
    folders = (spec.submodule_search_locations or []) if spec else []
    files = (path for folder in folders for path in sorted(Path(folder, "models").glob("*.py")))
    return "".join(path.read_text(encoding="utf-8") for path in files)
