"""Stand-ins for the classes of other people's pickled objects, such as whole modules.

Nothing of those classes is imported or called: an object becomes the state that its file records.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

# In a damaged file modules may hold each other: their number and the length of names have no end.
MOST_MODULES = 20_000
LONGEST_NAME = 1_000


class PickledObject:
    """What an object of an unknown class, or the result of an unknown function, becomes."""

    state: object = None

    def __new__(cls, *_: object) -> PickledObject:
        """Drop the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Keep the state as it is."""
        self.state = state


class PickledDict:
    """What a subclass of dict becomes: an ordered one, whose attributes are its state if it was an
    object after all, such as a `ModuleDict`."""

    def __new__(cls, *_: object) -> Any:
        """Drop the arguments, such as a factory of default values."""
        return OrderedDict()


def stand_in(name: str) -> type:
    """Return what stands in for the class or function of that full name. A subclass of dict can't
    be told from its use, so it is by its name, such as Lightning's `AttributeDict`."""
    return PickledDict if name.lower().endswith("dict") else PickledObject


def with_tensors(document: object) -> object:
    """Return a document in which modules, and those that a dict holds, are their state dicts."""
    if _state(document) is not None:
        return state_dict(document)
    if isinstance(document, Mapping):
        return {
            key: value if _state(value) is None else state_dict(value)
            for key, value in document.items()
        }
    return document


def _state(value: object) -> Mapping[str, Any] | None:
    """Return the attributes of a module; None for other values."""
    state = vars(value) if isinstance(value, OrderedDict) else getattr(value, "state", None)
    is_module = isinstance(state, Mapping) and "_modules" in state
    return state if is_module and isinstance(value, (OrderedDict, PickledObject)) else None


def state_dict(module: object) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module by name, as `nn.Module.state_dict` does.

    Raises:
        ValueError: its modules have no end.
    """
    found: dict[str, Tensor] = {}
    for count, (prefix, state) in enumerate(_modules(module)):
        if count == MOST_MODULES or len(prefix) > LONGEST_NAME:
            raise ValueError("its modules have no end")
        passing = state.get("_non_persistent_buffers_set") or ()
        tensors = [*_items(state, "_parameters")]
        tensors += [(name, each) for name, each in _items(state, "_buffers") if name not in passing]
        found |= {f"{prefix}{name}": each for name, each in tensors if isinstance(each, Tensor)}
    return found


def _modules(module: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the state of a module and of all inside it, each with the prefix of its names."""
    pending = [("", module)]
    while pending:
        prefix, each = pending.pop()
        state = _state(each)
        if state is not None:
            yield prefix, state
            pending += [(f"{prefix}{name}.", child) for name, child in _items(state, "_modules")]


def _items(state: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    held = state.get(key)
    if isinstance(held, Mapping):
        yield from ((name, value) for name, value in held.items() if isinstance(name, str))
