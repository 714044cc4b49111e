"""Core ML packages for tests: torch modules and hand-written MIL programs, converted and saved."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram

from lolvit.manifest import Artifact, TensorSpec
from lolvit_runtimes.coreml_reference import CoreMLReferenceSession
from lolvit_runtimes.coreml_tools import coremltools as ct
from lolvit_runtimes.mil_package import read_package
from tests.sessions import run_image

PRECISIONS = {"fp32": ct.precision.FLOAT32, "fp16": ct.precision.FLOAT16}
Shape = tuple[int, ...]


class Formula(nn.Module):
    """A formula of one tensor and, where it has weights, of the modules given with it."""

    def __init__(self, formula: Callable[..., torch.Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.formula, self.parts = formula, nn.ModuleList(parts)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.formula(image, *self.parts)


def capture(module: nn.Module, shape: Shape) -> ExportedProgram:
    """Capture a module; coremltools knows no `alias`, which decomposition may leave."""
    program = torch.export.export(module.eval(), (torch.zeros(shape),)).run_decompositions({})
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)
    return program


def save(
    source: Any, precision: str, path: Path, target: Any = ct.target.iOS16, **options: Any
) -> Path:
    """Convert a captured or a MIL program and save it."""
    gc.freeze()  # conversion ends with a full collection; without it that is most of its time
    try:
        model = ct.convert(
            source,
            convert_to="mlprogram",
            minimum_deployment_target=target,
            compute_precision=PRECISIONS[precision],
            skip_model_load=True,
            **options,
        )
    finally:
        gc.unfreeze()
    model.save(str(path))
    return path


def describe(
    shape: Shape,
    outputs: Shape,
    precision: str = "fp32",
    meaning: str = "normalized",
    name: str = "logits",
) -> Artifact:
    """Return the manifest's entry for a package of that input and output."""
    return Artifact(
        path="model.mlpackage",
        format="coreml",
        precision=precision,
        sha256="0" * 64,
        bytes=0,
        inputs=(TensorSpec(name="image", shape=shape, layout="NCHW", meaning=meaning),),
        outputs=(TensorSpec(name=name, shape=outputs, layout="NC", meaning="logits"),),
    )


def run(path: Path, image: np.ndarray, outputs: Shape) -> np.ndarray:
    """Open a package in the reference interpreter, run it once, and close it."""
    name = read_package(path).model.description.output[0].name
    session = CoreMLReferenceSession(path, describe(image.shape, outputs, name=name))
    try:
        return run_image(session, image)
    finally:
        session.close()


def operations(path: Path) -> Counter[str]:
    """Count the operations of a saved package, constants left out."""
    kinds = Counter(operation.type for operation in read_package(path).operations())
    del kinds["const"]
    return kinds


def snr_db(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the ratio of signal to error in decibels, from float64 sums."""
    signal, error = expected.astype(np.float64), expected.astype(np.float64) - found
    return float(10 * np.log10((signal**2).sum() / max((error**2).sum(), 1e-300)))
