"""What stays in float and how ranges are found: searched for, saved beside the artifact, and read
back where a user has edited it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lolvit.documents import read_document
from lolvit.files import write_atomic
from lolvit.manifest import Format, Precision

Method = Literal["minmax", "percentile", "entropy", "mse"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerSensitivity(_Frozen):
    """What one layer costs when it alone is quantized."""

    layer: str
    operation: str
    snr_db: float = Field(description="of the logits on the tuning images, this layer quantized")
    top1_agreement: float = Field(description="share of the tuning images with eager's top class")


class Candidate(_Frozen):
    """A way to quantize, as it was tried on the tuning images."""

    name: str
    operations: tuple[str, ...] = Field(description="kinds of operations that are quantized")
    method: Method = "minmax"
    float_layers: tuple[str, ...] = Field(
        default=(), description="layers of those kinds that stayed in float"
    )
    correct_biases: bool = False
    compensate_weights: bool = False
    snr_db: float
    top1_agreement: float
    times_fp32: float | None = Field(
        description="speed against the fp32 artifact in the same runtime, interleaved; null: not"
        " timed"
    )


class Plan(_Frozen):
    """How one artifact is quantized. Edit `method`, `operations`, `float_layers`, `correct_biases`
    or `compensate_weights`, and give the file to `lolvit export --plan`."""

    schema_version: Literal[1] = 1
    format: Format
    precision: Precision
    method: Method
    percentile: float | None = None
    operations: tuple[str, ...] = Field(description="kinds of operations that are quantized")
    float_layers: tuple[str, ...] = Field(description="layers of those kinds that stay in float")
    correct_biases: bool = Field(
        default=False, description="take each layer's mean error out of its bias; onnx alone"
    )
    compensate_weights: bool = Field(
        default=False,
        description="round weights so that results stay, not each to the nearest; qnn alone, w4"
        " always does",
    )
    candidates: tuple[Candidate, ...] = ()
    sensitivity: tuple[LayerSensitivity, ...] = Field(
        default=(), description="the costliest layer first"
    )


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan atomically."""
    write_atomic(path, plan.model_dump_json(indent=2) + "\n")


def read_plan(path: Path) -> Plan:
    """Read and validate a plan.

    Raises:
        UserError: it is missing, not JSON, or a field is wrong.
    """
    return read_document(
        path, Plan, kind="plan", remedy="mend it, or leave out --plan to search again"
    )
