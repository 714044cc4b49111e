"""Where the time of a model goes: the part of the result document that `--profile-ops` adds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-9, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KindTime(_Frozen):
    """All operations of one kind in the runtime's own, optimised graph."""

    kind: str
    calls: int = Field(description="in one inference")
    ms: Duration = Field(description="of one profiled inference")
    share: Share = Field(description="of the time in operations")
    macs: int


class StageTime(_Frozen):
    """All operations of one part of the model, by its module's name."""

    stage: str
    ms: Duration = Field(description="of one profiled inference")
    share: Share = Field(description="of the time in operations")
    macs: int
    gmacs_per_s: float | None = Field(description="null where there are no multiply-adds")


class OperationProfile(_Frozen):
    """Where a model's time goes, seen in a process of its own while the runtime profiled it."""

    runs: int
    run_ms: Positive = Field(description="a whole profiled inference, mean: profiling slows")
    operations_ms: Positive = Field(description="of run_ms, in operations")
    macs: int = Field(description="multiply-adds of the operations, counted in the artifact")
    without_macs_share: Share = Field(description="of the time: operations without multiply-adds")
    gmacs_per_s: Rate = Field(description="macs over the median without profiling")
    roof_share: Rate = Field(description="gmacs_per_s over the roof")
    operations: tuple[KindTime, ...]
    stages: tuple[StageTime, ...]


class Load(_Frozen):
    """A model of one kind of operation, to find what the machine can give."""

    name: str
    what: str
    macs: int
    median_ms: Positive
    gmacs_per_s: Positive


class Roof(_Frozen):
    """The largest rate of multiply-adds seen in this runtime with as many threads, in float32."""

    gmacs_per_s: Positive
    by: str = Field(description="name of the load that reached it")
    loads: tuple[Load, ...]
