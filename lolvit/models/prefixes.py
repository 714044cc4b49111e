"""Match the names of a checkpoint's tensors to a model's: trainers wrap the model in a module of
their own, and so put a prefix before each name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

_AVERAGED = ("ema", "averaged", "teacher")  # in the prefix of a moving average
_LISTED = 3


@dataclass(frozen=True)
class Matched:
    """The tensors under the model's names; `prefix` was before each of them, `left_out` were beside
    the wrapped model, such as those of a loss."""

    state: dict[str, Tensor]
    prefix: str = ""
    left_out: tuple[str, ...] = ()

    def note(self, where: str) -> str | None:
        """Return one line about what was changed; None if nothing was."""
        if not self.prefix:
            return None
        line = f"{where}: the prefix '{self.prefix}' of its tensors' names was removed"
        if not self.left_out:
            return line
        names = _listed(self.left_out)
        return f"{line}, {len(self.left_out)} tensors beside the model left out: {names}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_LISTED]) + (" …" if len(names) > _LISTED else "")


def match_names(state: Mapping[str, Tensor], own: Collection[str]) -> Matched:
    """Return a checkpoint's tensors under a model's names `own`.

    The names stay as they are where they are the model's; otherwise the prefix is removed under
    which most of the model's names are found, at least half of them. Of several copies of the whole
    model, that of a moving average is taken.
    """
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    if not needed or sum(name in state for name in needed) * 2 >= len(needed):
        return Matched(dict(state))
    found = {prefix: _count(state, prefix, needed) for prefix in _prefixes(state, needed)}
    if not found or max(found.values()) * 2 < len(needed):
        return Matched(dict(state))
    best = max(found.values())
    equal = [prefix for prefix, count in found.items() if count == best]
    prefix = min(equal, key=lambda each: (not _is_average(each), len(each), each))
    return Matched(
        state={k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)},
        prefix=prefix,
        left_out=tuple(name for name in state if not name.startswith(prefix)),
    )


@dataclass(frozen=True)
class Wrapped:
    """Where a module has a checkpoint's tensors: under `prefix`; it has those `outside` too."""

    prefix: str
    outside: tuple[str, ...]

    def note(self, where: str) -> str:
        """Return one line about what is loaded, and what is not."""
        line = f"{where}: its tensors are those of the module's '{self.prefix.removesuffix('.')}'"
        if not self.outside:
            return line
        names = _listed(self.outside)
        return f"{line}; {len(self.outside)} outside of it keep the module's values: {names}"


def find_wrapped(state: Collection[str], own: Collection[str]) -> Wrapped | None:
    """Return where a module, with tensors of the names `own`, has all of a checkpoint's: it wraps
    the network that they are of. None if they are its own, if it has not all, or has them twice."""
    needed = [name for name in state if not name.endswith("num_batches_tracked")]
    if not needed or all(name in own for name in needed):
        return None
    whole = [
        prefix for prefix in _prefixes(own, needed) if all(prefix + name in own for name in needed)
    ]
    if len(whole) != 1:
        return None
    (prefix,) = whole
    return Wrapped(prefix, tuple(name for name in own if not name.startswith(prefix)))


def _prefixes(state: Collection[str], needed: list[str]) -> set[str]:
    """Return what stands before some of a model's names: before the first, middle and last one."""
    probes = {needed[0], needed[len(needed) // 2], needed[-1]}
    return {
        name.removesuffix(probe) for name in state for probe in probes if name.endswith(f".{probe}")
    }


def _count(state: Mapping[str, Tensor], prefix: str, needed: list[str]) -> int:
    return sum(prefix + name in state for name in needed)


def _is_average(prefix: str) -> bool:
    return any(word in prefix.lower() for word in _AVERAGED)
