"""How one artifact is quantized: searched for, saved beside the artifact, and read back where a
user has edited it.

Schema 2. Schema 1 is still read: it had `times_fp32` for `speedup_vs_fp32`, `correct_biases` for
`bias_correction` and `compensate_weights` for `gptq`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from lolvit.documents import Frozen, read_document
from lolvit.files import write_atomic
from lolvit.manifest import Format, Precision

_RENAMED = {  # in schema 1, of a plan and of its candidates
    "times_fp32": "speedup_vs_fp32",
    "correct_biases": "bias_correction",
    "compensate_weights": "gptq",
}

Method = Literal["minmax", "percentile", "entropy", "mse"]


class LayerSensitivity(Frozen):
    """The accuracy with only one layer quantized."""

    layer: str
    operation: str
    snr_db: float = Field(description="of the logits on the tuning images, this layer quantized")
    top1_agreement: float = Field(description="share of the tuning images with eager's top class")


class Candidate(Frozen):
    """A way to quantize, as evaluated on the tuning images."""

    name: str
    operations: tuple[str, ...] = Field(description="kinds of operations that are quantized")
    method: Method = "minmax"
    float_layers: tuple[str, ...] = Field(
        default=(), description="layers of those kinds that stayed in float"
    )
    gemm_layers: tuple[str, ...] = Field(
        default=(), description="convolutions that are computed as products of matrices"
    )
    bias_correction: bool = False
    gptq: bool = False
    snr_db: float
    top1_agreement: float
    accuracy_change: float | None = Field(
        default=None,
        description="percentage points of accuracy (AP, mIoU) above eager's; null: not measured",
    )
    failed: tuple[str, ...] = Field(
        default=(),
        description="the task's other metrics that are below the thresholds of the gates, such as"
        " worst_class_recall",
    )
    speedup_vs_fp32: float | None = Field(
        description="latency of the fp32 artifact over this one's in the same runtime, interleaved;"
        " null: not timed"
    )


class Plan(Frozen):
    """How one artifact is quantized. Edit `method`, `operations`, `float_layers`, `gemm_layers`,
    `bias_correction` or `gptq`, and give the file to `lolvit export --plan`."""

    schema_version: Literal[2] = 2
    format: Format
    precision: Precision
    method: Method
    percentile: float | None = None
    operations: tuple[str, ...] = Field(description="kinds of operations that are quantized")
    float_layers: tuple[str, ...] = Field(description="layers of those kinds that stay in float")
    gemm_layers: tuple[str, ...] = Field(
        default=(),
        description="convolutions whose weights have the zero point 1: ONNX Runtime computes"
        " them as products of matrices: int8 of onnx only",
    )
    bias_correction: bool = Field(
        default=False,
        description="take each layer's mean error out of its bias; onnx, and tflite in int8",
    )
    gptq: bool = Field(
        default=False,
        description="round weights by GPTQ, not each to the nearest; qnn only, w4 always does",
    )
    candidates: tuple[Candidate, ...] = ()
    sensitivity: tuple[LayerSensitivity, ...] = Field(
        default=(), description="the most sensitive layer first"
    )
    for_timing: bool = Field(
        default=False,
        description="chosen by speed, as for trained weights that meet the thresholds, though the"
        " weights are random and need not: for benchmarks only",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_schema_1(cls, document: Any) -> Any:
        if not isinstance(document, dict) or document.get("schema_version") != 1:
            return document
        candidates = document.get("candidates", [])
        if isinstance(candidates, list):
            candidates = [_renamed(each) for each in candidates]
        return _renamed(document) | {"schema_version": 2, "candidates": candidates}


def _renamed(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {_RENAMED.get(key, key): value for key, value in document.items()}


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan atomically."""
    write_atomic(path, plan.model_dump_json(indent=2) + "\n")


def plan_path(artifact: Path) -> Path:
    """Return the path of an artifact's plan, beside it."""
    return artifact.with_name(f"{artifact.name}.plan.json")


def read_plan(path: Path) -> Plan:
    """Read and validate a plan.

    Raises:
        UserError: it is missing, not JSON, or a field is wrong.
    """
    return read_document(
        path, Plan, kind="plan", remedy="fix it, or leave out --plan to search again"
    )
