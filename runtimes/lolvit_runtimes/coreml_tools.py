"""coremltools, imported without the packages that it looks at and we don't use.

coremltools imports every framework that it finds installed, to see which it could convert from.
That costs about nine seconds, and TensorFlow, where it is installed and imported before PyTorch's
Triton (which torchvision, torchao and torch.compile load), ends the process with SIGSEGV.
Converting from torch.export and reading packages back need none of them, so they are hidden while
coremltools is imported:

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
    """Keep back warnings about untested versions and about libraries that only a Mac has."""
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
