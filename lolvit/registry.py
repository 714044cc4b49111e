"""Choose from names, with an error that lists the choices and suggests the closest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lolvit.errors import UserError


def choose(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is one of `choices`.

    Raises:
        UserError: it is not; the message lists the choices and suggests the closest one.
    """
    available = list(choices)
    if name in available:
        return name
    near = difflib.get_close_matches(name.lower(), available, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(
        f"unknown {kind} '{name}'", remedy=f"{hint}choose from: {', '.join(sorted(available))}"
    )


def choose_many(kind: str, names: str, choices: Iterable[str]) -> list[str]:
    """Split a comma-separated list and `choose` each name; the order is kept, repeats are dropped.

    Raises:
        UserError: a name is unknown, or the list is empty.
    """
    available = list(choices)
    picked = [choose(kind, part.strip(), available) for part in names.split(",") if part.strip()]
    if not picked:
        raise UserError(f"no {kind} given", remedy=f"choose from: {', '.join(sorted(available))}")
    return list(dict.fromkeys(picked))
