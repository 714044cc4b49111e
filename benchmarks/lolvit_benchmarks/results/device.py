"""The parts of a result document that tell of devices other than this machine's processor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lolvit.manifest import Precision, Sha256

Kind = Literal["cpu", "gpu", "npu", "phone", "browser"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DeviceInfo(_Frozen):
    """The device that a result comes from, as far as it tells."""

    id: str = Field(description="as --device names it")
    kind: Kind
    name: str = Field(description="what its maker or driver calls it")
    software: bool = Field(description="true: an accelerator that a processor plays in software")
    details: dict[str, str] = Field(
        default={}, description="such as system, driver, governor; what can't be read is absent"
    )


class EstimateSide(_Frozen):
    """One model of an estimate."""

    model: str
    size: tuple[int, int] = Field(description="height and width of the input, in pixels")
    params: int
    macs: int = Field(description="multiply-adds of one inference")
    trained: bool
    artifact: str = Field(description="file name")
    artifact_sha256: Sha256
    ms: Positive = Field(description="the estimate of one inference, in milliseconds")
    placement: dict[str, int] = Field(description="operations by where they would run")
    slowest: dict[str, float] = Field(
        default={}, description="milliseconds of the costliest operations, where they are told"
    )


class Estimate(_Frozen):
    """A vendor's tool's own guess at model `a` against model `b`: no run, no samples, no interval,
    and never in one figure with a measurement."""

    device: DeviceInfo
    runtime: str
    runtime_version: str
    source: str = Field(description="whose estimate it is, and of what")
    precision: Precision
    a: EstimateSide
    b: EstimateSide
    ratio: Positive = Field(description="b's milliseconds over a's")
    notes: tuple[str, ...] = ()
