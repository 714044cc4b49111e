"""The input and result types of every lowering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Preprocessing, Signature, TensorSpec
from lolvit_export.targets import find_target

if TYPE_CHECKING:  # a process that only starts lowerings does not need torch
    from torch.fx import GraphModule

BASE_PREFIX = "base-"
_IN_32_BITS = {"float64": "float32", "int64": "int32"}
Lower = Callable[["GraphModule", "LoweringRequest"], "list[Lowered]"]


@dataclass(frozen=True)
class LoweringRequest:
    """The artifacts to lower for one target: folder, precisions, the graph's signature and the
    preprocessing of its image."""

    folder: Path
    target: str
    precisions: tuple[str, ...]
    signature: Signature
    preprocessing: Preprocessing
    bases: tuple[str, ...] = ()  # precisions that others are quantized from

    @property
    def image(self) -> TensorSpec:
        """The graph's image input, (B, C, H, W)."""
        return self.signature.inputs[0]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs, in its order."""
        return self.signature.outputs

    @property
    def outputs_in_32_bits(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs as a target without 64-bit numbers has them."""
        return tuple(
            spec.model_copy(update={"dtype": _IN_32_BITS.get(spec.dtype, spec.dtype)})
            for spec in self.outputs
        )

    def path(self, precision: str) -> Path:
        """Return the path of an artifact."""
        return self.folder / find_target(self.target).file_name(precision)

    def base_path(self, precision: str) -> Path:
        """Return the path of an artifact that is only quantized from and not shipped."""
        return self.folder / f"{BASE_PREFIX}{find_target(self.target).file_name(precision)}"

    def lowered(self, precision: str, **changed: tuple[TensorSpec, ...]) -> Lowered:
        """Describe a written artifact; give `inputs` and `outputs` where they differ from the
        graph's."""
        return Lowered(
            path=self.path(precision),
            precision=precision,
            inputs=changed.get("inputs", self.signature.inputs),
            outputs=changed.get("outputs", self.signature.outputs),
        )


@dataclass(frozen=True)
class Lowered:
    """A written file (for Core ML and Core AI, a folder) with its inputs and outputs."""

    path: Path
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = field(default=())


def as_artifact(lowered: Lowered, target: str) -> Artifact:
    """Return what a manifest records of a lowered file, before it is verified."""
    return Artifact(
        path=lowered.path.name,
        format=target,
        container=find_target(target).container,
        precision=lowered.precision,
        sha256=sha256_of(lowered.path),
        bytes=size_of(lowered.path),
        inputs=lowered.inputs,
        outputs=lowered.outputs,
    )


def is_base(artifact: Artifact) -> bool:
    """Whether an artifact was lowered only to be quantized from."""
    return artifact.path.startswith(BASE_PREFIX)
