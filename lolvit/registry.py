"""Tables of names: a duplicate raises, an unknown name lists the choices and the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lolvit.errors import UserError


def choose(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is one of `choices`.

    Raises:
        UserError: it is not; the message lists the choices and guesses at the one that was meant.
    """
    known = list(choices)
    if name in known:
        return name
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(
        f"unknown {kind} '{name}'", remedy=f"{hint}choose from: {', '.join(sorted(known))}"
    )


def choose_many(kind: str, names: str, choices: Iterable[str]) -> list[str]:
    """Split a comma-separated list and `choose` each; order kept, repeats dropped.

    Raises:
        UserError: a name is unknown, or the list is empty.
    """
    known = list(choices)
    picked = [choose(kind, part.strip(), known) for part in names.split(",") if part.strip()]
    if not picked:
        raise UserError(f"no {kind} given", remedy=f"choose from: {', '.join(sorted(known))}")
    return list(dict.fromkeys(picked))
