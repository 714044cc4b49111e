"""What every lowering takes and gives, and the table that finds it.

A lowering is one file with a function `lower(graph, request)` and one line in `LOWERINGS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lolvit.manifest import Preprocess, TensorSpec

if TYPE_CHECKING:  # a process that only starts lowerings has no need to load torch for it
    from torch.fx import GraphModule

Lower = Callable[["GraphModule", "LoweringRequest"], "list[Lowered]"]


@dataclass(frozen=True)
class LoweringRequest:
    """Where artifacts go and in which precisions; how their image is prepared."""

    folder: Path
    precisions: tuple[str, ...]
    preprocess: Preprocess


@dataclass(frozen=True)
class Lowered:
    """The file (or, for Core ML, the folder) that was written, and what it takes and gives."""

    path: Path
    precision: str
    input: TensorSpec
    output: TensorSpec


# format: (module, the precisions it has). Longest lowering and verification first: the first of
# several formats runs in its own process, where it takes as long as the others together.
LOWERINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tflite": ("lolvit_export.targets.tflite", ("fp32", "fp16")),
    "coreml": ("lolvit_export.targets.coreml", ("fp32", "fp16")),
    "executorch": ("lolvit_export.targets.executorch", ("fp32",)),
    "torch": ("lolvit_export.targets.torch_export", ("fp32",)),
    "qnn": ("lolvit_export.targets.qnn", ("fp16",)),
    "onnx": ("lolvit_export.targets.onnx", ("fp32", "fp16")),
}


def find_lowering(format: str) -> Lower:
    """Return the `lower` function of a format in `LOWERINGS`."""
    lower: Lower = importlib.import_module(LOWERINGS[format][0]).lower
    return lower
