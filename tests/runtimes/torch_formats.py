"""Export the small model to ExecuTorch and torch.export: `python -m tests.runtimes.torch_formats`.

In a process of its own: the exporter loads Triton, which ends a process that has loaded TensorFlow
(transformers does, where it is installed).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Manifest, Preprocess, Weights, write_manifest
from lolvit_export.capture import capture
from lolvit_export.targets.lowering import LoweringRequest, find_lowering
from tests.runtimes.conftest import CLASSES, SIDE, TinyNet

FORMATS = {"executorch": "pte", "torch": "pt2"}


def main(folder: Path) -> None:
    """Write both artifacts and their manifest into a folder."""
    torch.manual_seed(0)
    preprocess = Preprocess(
        size=(SIDE, SIDE), crop_pct=0.9, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    graph = capture(TinyNet().eval(), (SIDE, SIDE))
    artifacts = []
    for format in FORMATS:
        request = LoweringRequest(folder, ("fp32",), preprocess)
        (lowered,) = find_lowering(format)(graph, request)
        artifacts.append(
            Artifact.model_validate(
                {
                    "path": lowered.path.name,
                    "format": format,
                    "precision": "fp32",
                    "sha256": sha256_of(lowered.path),
                    "bytes": size_of(lowered.path),
                    "input": lowered.input,
                    "output": lowered.output,
                }
            )
        )
    weights = Weights(sha256="0" * 64, trained=False, source="random")
    write_manifest(
        folder,
        Manifest(
            model="tiny", params=0, macs=0, num_classes=CLASSES, size=(SIDE, SIDE),
            weights=weights, preprocess=preprocess, artifacts=tuple(artifacts),
            tools={}, created="2026-01-01T00:00:00Z",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
