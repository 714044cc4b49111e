"""Import a library without its optional dependencies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def block_imports(names: tuple[str, ...]) -> Iterator[None]:
    """Make `import NAME` raise ModuleNotFoundError inside the block, for loaded modules too."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    loaded = {name: modules.get(name) for name in names}
    modules.update(dict.fromkeys(names, None))
    try:
        yield
    finally:
        for name, module in loaded.items():
            if module is None:
                del modules[name]
            else:
                modules[name] = module
