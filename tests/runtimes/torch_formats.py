"""Export the small model to ExecuTorch and torch.export: `python -m tests.runtimes.torch_formats`.

In a process of its own: the exporter loads Triton, which ends a process that has loaded TensorFlow
(transformers does, where it is installed).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Manifest, Preprocessing, Weights, write_manifest
from lolvit_export.capture import capture
from lolvit_export.lowering.request import LoweringRequest
from lolvit_export.targets import find_lowering
from tests.runtimes.conftest import SIDE, SIGNATURE, TinyNet

FORMATS = {"executorch": "pte", "torch": "pt2"}


def main(folder: Path) -> None:
    """Write both artifacts and their manifest into a folder."""
    torch.manual_seed(0)
    preprocessing = Preprocessing(
        size=(SIDE, SIDE), crop_pct=0.9, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    graph = capture(TinyNet().eval(), (SIDE, SIDE))
    artifacts = []
    for format in FORMATS:
        request = LoweringRequest(folder, format, ("fp32",), SIGNATURE, preprocessing)
        (lowered,) = find_lowering(format)(graph, request)
        artifacts.append(
            Artifact.model_validate(
                {
                    "path": lowered.path.name,
                    "format": format,
                    "precision": "fp32",
                    "sha256": sha256_of(lowered.path),
                    "bytes": size_of(lowered.path),
                    "inputs": lowered.inputs,
                    "outputs": lowered.outputs,
                }
            )
        )
    weights = Weights(sha256="0" * 64, trained=False, source="random")
    write_manifest(
        folder,
        Manifest(
            model="tiny", task="classification", params=0, macs=0, size=(SIDE, SIDE),
            weights=weights, preprocessing=preprocessing, signature=SIGNATURE,
            artifacts=tuple(artifacts),
            tools={}, created="2026-01-01T00:00:00Z",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
