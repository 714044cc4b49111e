"""One real export, small, that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from lolvit.artifact import Manifest, read_manifest
from lolvit_export.pipeline import ExportRequest, export_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """LOLViT-XX at 64x96, untrained, in every format and precision."""
    request = ExportRequest(
        model="lolvit_xx",
        formats=("onnx", "tflite", "coreml"),
        precisions=("fp32", "fp16"),
        size=(64, 96),
        out=tmp_path_factory.mktemp("exported"),
    )
    folder, manifest = export_model(request, lambda _step: None)
    assert read_manifest(folder) == manifest
    return folder, manifest
