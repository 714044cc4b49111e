"""torch's table of ONNX operators, which each export to ONNX makes anew: once in a process of
tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch.onnx._internal.exporter._registration import ONNXRegistry


@contextmanager
def read_once() -> Iterator[None]:
    """Keep the table inside the block: reading it takes two thirds of a second, and an export
    changes nothing in it."""
    with pytest.MonkeyPatch.context() as patch:
        once = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
        patch.setattr(ONNXRegistry, "from_torchlib", once)
        yield
