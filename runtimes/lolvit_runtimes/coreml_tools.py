"""Import coremltools without the optional frameworks that it would import.

coremltools imports every framework that is installed, to detect which it can convert from. That
takes about nine seconds, and TensorFlow, where it is installed and imported before PyTorch's
Triton (which torchvision, torchao and torch.compile load), ends the process with SIGSEGV.
Converting from torch.export and reading packages need none of them, so their import is blocked:

    from lolvit_runtimes.coreml_tools import coremltools as ct
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from lolvit_runtimes.block_imports import block_imports

_UNUSED = (
    "executorch", "sklearn", "tensorflow", "torchao", "torchaudio", "torchvision", "transformers",
    "xgboost",
)  # fmt: skip


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress warnings about untested versions and about libraries that only a Mac has."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


with block_imports(_UNUSED), _silent():
    import coremltools

__all__ = ["coremltools"]
