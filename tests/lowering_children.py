"""Processes that lower beside an export, which the next export of the same tests uses again: each
takes seconds to import its converter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from lolvit_export.lowering import lowerers
from lolvit_export.lowering.lowerers import LoweringChild
from lolvit_runtimes.worker.server import Answer

MOST = 6  # lowerings of one process, which collects no garbage


class KeptChild(LoweringChild):
    """A process that stays after a lowering, unless it failed."""

    def __init__(self, format: str) -> None:
        super().__init__(format)
        self._lowered, self._idle = 0, True

    def ask_in_bytes(
        self, write: Callable[[IO[bytes]], None], seconds: float | None = None
    ) -> Answer:
        self._idle = False  # so that it ends if this fails
        answer = super().ask_in_bytes(write, seconds)
        self._lowered += 1
        self._idle = self._lowered < MOST
        return answer

    def close(self) -> None:
        if not self._idle:
            super().close()

    def end(self) -> None:
        """End the process."""
        super().close()


@contextmanager
def kept() -> Iterator[None]:
    """Keep the process of the last export inside the block. Only one: it holds a gigabyte."""
    last: dict[str, KeptChild] = {}

    def end() -> None:
        for child in last.values():
            child.end()
        last.clear()

    def child_of(format: str) -> KeptChild:
        if format not in last or last[format].ended:
            end()
            last[format] = KeptChild(format)
        return last[format]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowerers, "LoweringChild", child_of)
        yield
    end()
