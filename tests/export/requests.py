"""Exports as tests ask for them: options of the model and of the export in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from lolvit.manifest import Manifest
from lolvit_export.pipeline import export_model
from lolvit_export.prepared import ModelOptions
from lolvit_export.request import ExportRequest

_OF_MODEL = {field.name for field in fields(ModelOptions)}


def request(out: Path, **changes: object) -> ExportRequest:
    """Return a request of LOLViT-XX at 64x64 as ONNX in fp32, with changes."""
    given: dict[str, object] = {"model": "lolvit_xx", "targets": ("onnx",), "precisions": ("fp32",)}
    given |= {"size": (64, 64), **changes}
    options = {name: value for name, value in given.items() if name in _OF_MODEL}
    rest = {name: value for name, value in given.items() if name not in _OF_MODEL}
    return ExportRequest(out=out, options=ModelOptions(**options), **rest)  # type: ignore[arg-type]


def export(
    asked: ExportRequest, progress: Callable[[str], None] = lambda _step: None
) -> tuple[Path, Manifest]:
    """Export, and return the folder and the manifest.

    Raises:
        GateFailedError: an artifact was withheld.
    """
    exported = export_model(asked, progress)
    exported.raise_on_failure()
    return exported.folder, exported.manifest
