"""LOLViT: a lightweight hybrid vision backbone, and tools to export any vision model to devices.

Importing this package loads no torch; each name below is imported on use.

    lolvit.create_model(name)      a LOLViT, a baseline or a timm model in eager PyTorch
    lolvit.export(model, …)        verified artifacts in a folder
    lolvit.verify(folder)          the artifacts of a folder compared with eager again
    lolvit.load(folder)            an artifact to predict photos with; needs no torch
    lolvit.benchmark(model, …)     a model's latency measured against another's
"""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

from lolvit import privacy as privacy
from lolvit.version import __version__ as __version__

if TYPE_CHECKING:
    from lolvit.models import create_model as create_model
    from lolvit_benchmarks.api import benchmark as benchmark
    from lolvit_export.api import export as export
    from lolvit_export.verification.verification import verify as verify
    from lolvit_runtimes.predict import load as load

_PUBLIC = {
    "benchmark": "lolvit_benchmarks.api:benchmark",
    "create_model": "lolvit.models:create_model",
    "export": "lolvit_export.api:export",
    "verify": "lolvit_export.verification.verification:verify",
    "load": "lolvit_runtimes.predict:load",
}
__all__ = ["__version__", "benchmark", "create_model", "export", "load", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lolvit' has no attribute '{name}'")
    try:
        return pkgutil.resolve_name(_PUBLIC[name])
    except ModuleNotFoundError as error:
        from lolvit.extras import missing_extra

        raise (missing_extra(error) or error) from error


def __dir__() -> list[str]:
    return sorted(__all__)
