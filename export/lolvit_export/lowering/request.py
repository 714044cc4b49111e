"""What every lowering takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lolvit.manifest import Preprocessing, Signature, TensorSpec
from lolvit_export.targets import find_target

if TYPE_CHECKING:  # a process that only starts lowerings has no need to load torch for it
    from torch.fx import GraphModule

Lower = Callable[["GraphModule", "LoweringRequest"], "list[Lowered]"]


@dataclass(frozen=True)
class LoweringRequest:
    """Which target's artifacts go where, in which precisions; what the graph takes and gives, and
    how its image is prepared."""

    folder: Path
    target: str
    precisions: tuple[str, ...]
    signature: Signature
    preprocessing: Preprocessing

    @property
    def image(self) -> TensorSpec:
        """The graph's image input, (B, C, H, W)."""
        return self.signature.inputs[0]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs, in its order."""
        return self.signature.outputs

    def path(self, precision: str) -> Path:
        """Return where an artifact is written."""
        return self.folder / find_target(self.target).file_name(precision)

    def lowered(self, precision: str, **changed: tuple[TensorSpec, ...]) -> Lowered:
        """Describe an artifact that was written; `inputs` and `outputs` where they are not the
        graph's own."""
        return Lowered(
            path=self.path(precision),
            precision=precision,
            inputs=changed.get("inputs", self.signature.inputs),
            outputs=changed.get("outputs", self.signature.outputs),
        )


@dataclass(frozen=True)
class Lowered:
    """The file (or, for Core ML, the folder) that was written, and what it takes and gives."""

    path: Path
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = field(default=())
