"""The one interface that the quantizer of every format has."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from lolvit.files import sha256_of, size_of
from lolvit.manifest import Artifact, Precision
from lolvit_export.quantization.plan import Plan

Operation = TypeVar("Operation")
Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True)
class Layer:
    """An operation that can be quantized: its name in the artifact, its kind there (`Conv`,
    `CONV_2D`, …), and the number of elements that it gives, 0 where that is unknown. `gemm_depth`
    is of a convolution that a plan may have computed as a product of matrices: how many products
    each element is the sum of; 0 of others. `is_output`: no layer with weights follows."""

    name: str
    operation: str
    elements: int = 0
    gemm_depth: int = 0
    is_output: bool = False


class Quantizer(Protocol):
    """Quantizes one fp32 artifact, as often as the search asks: calibration is done once."""

    corrects_biases: bool  # whether a plan may ask for it

    def layers(self) -> Sequence[Layer]:
        """Return what can be quantized, in the order of execution."""

    def recipes(self) -> dict[str, tuple[str, ...]]:
        """Return named sets of kinds of operations that are worth trying, the largest first."""

    def quantize(self, plan: Plan, path: Path) -> Artifact:
        """Write the artifact that a plan describes to `path`, and describe it.

        Raises:
            UserError: the plan names a layer that does not exist.
        """


def output_operations(
    outputs: Iterable[Value],
    maker: Callable[[Value], Operation | None],
    inputs: Callable[[Operation], Iterable[Value]],
    weighted: Callable[[Operation], bool],
) -> list[Operation]:
    """Return the operations from which a network's outputs are reached without another one that has
    weights: its last ones with weights, and all behind them.

    `maker` gives the operation that computes a value, None of an image or a constant.
    """
    found: list[Operation] = []
    seen: set[Value] = set()
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        operation = maker(value) if value not in seen else None
        seen.add(value)
        if operation is None:
            continue
        found.append(operation)
        if not weighted(operation):
            waiting += inputs(operation)
    return found


def quantized_artifact(fp32: Artifact, precision: Precision, path: Path) -> Artifact:
    """Describe what was quantized from `fp32` and written to `path`; nothing of it is measured
    yet."""
    described = {
        "path": path.name,
        "precision": precision,
        "sha256": sha256_of(path),
        "bytes": size_of(path),
        "gates": (),
        "measurements": {},
    }
    return fp32.model_copy(update=described)
