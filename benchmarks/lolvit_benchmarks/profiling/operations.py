"""The operations that a runtime's profiler recorded, and their sums by kind and by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from lolvit_benchmarks.profiling.onnx_layers import Layer
from lolvit_benchmarks.results.document import KindTime, OperationProfile, StageTime

NO_STAGE = "(no part)"  # operations outside any module, or whose place the runtime doesn't report
WARM_UP = 10  # inferences
_MS = 2000.0
_FEWEST, _MOST = 20, 400


class Operation(BaseModel):
    """One operation that a runtime executed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    ms: float = Field(ge=0, description="of one inference")
    path: str = Field(description="the part of the model that it belongs to, or empty")
    layers: tuple[str, ...] = Field(description="those of the artifact that it computes")
    multiplies: bool = Field(
        default=False, description="it does multiply-adds, of whatever layer they are"
    )


class Recorded(BaseModel):
    """What the profiler of a session recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int
    run_ms: float = Field(gt=0, description="of a whole inference, mean of the same runs")
    operations: tuple[Operation, ...]
    layers: tuple[Layer, ...]


def repeat(run: Callable[[], object]) -> list[float]:
    """Make `WARM_UP` inferences, then as many as take about two seconds, 20 to 400; return the
    milliseconds of all."""
    times = [_ms(run) for _ in range(WARM_UP)]
    each = sum(times) / WARM_UP
    return times + [_ms(run) for _ in range(min(_MOST, max(_FEWEST, round(_MS / each))))]


def _ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def summarise(recorded: Recorded, median_ms: float, roofline: float) -> OperationProfile:
    """Sum a profile by kind of operation and by stage; `median_ms` is that of the runs without
    profiling, `roofline` in GMAC/s. Kinds are in order of time, stages in that of the model."""
    placed = layers_by_operation(recorded.operations, recorded.layers)
    rows = list(zip(recorded.operations, placed, strict=True))
    total = sum(operation.ms for operation in recorded.operations)
    macs = sum(layer.macs for layer in recorded.layers)
    without = sum(one.ms for one, layers in rows if not layers and not one.multiplies)
    rate = macs / median_ms / 1e6
    return OperationProfile(
        runs=recorded.runs,
        run_ms=recorded.run_ms,
        operations_ms=total,
        macs=macs,
        without_macs_share=without / total,
        gmacs_per_s=rate,
        roofline_share=rate / roofline,
        operations=_by_kind(rows, total),
        stages=_by_stage(rows, total, [layer.path for layer in recorded.layers]),
    )


Rows = Sequence[tuple[Operation, Sequence[Layer]]]


def layers_by_operation(
    operations: Sequence[Operation], layers: Sequence[Layer]
) -> list[list[Layer]]:
    """Return, for each operation, the layers with multiply-adds that it computes.

    A fused operation bears the name of the last layer in it, so that a layer which no operation
    names belongs to the first one that does among those that read it, one after the other.
    """
    named = {layer: number for number, one in enumerate(operations) for layer in one.layers}
    by_name = {layer.name: layer for layer in layers}
    found: list[list[Layer]] = [[] for _ in operations]
    for layer in layers:
        step: Layer | None = layer
        while step is not None and step.name not in named:
            step = by_name[step.readers[0]] if step.readers else None
        if layer.macs and step is not None:
            found[named[step.name]].append(layer)
    return found


def _by_kind(rows: Rows, total: float) -> tuple[KindTime, ...]:
    groups: dict[str, list[tuple[Operation, Sequence[Layer]]]] = {}
    for operation, layers in rows:
        detail = layers[0].detail if layers else ""
        groups.setdefault(f"{operation.kind} {detail}".strip(), []).append((operation, layers))
    times = [
        KindTime(
            kind=kind,
            calls=len(group),
            ms=(ms := sum(operation.ms for operation, _ in group)),
            share=ms / total,
            macs=_macs(group),
        )
        for kind, group in groups.items()
    ]
    return tuple(sorted(times, key=lambda time: -time.ms))


def _by_stage(rows: Rows, total: float, paths: Sequence[str]) -> tuple[StageTime, ...]:
    stages = stages_of([*paths, *(operation.path for operation, _ in rows)])
    groups: dict[str, list[tuple[Operation, Sequence[Layer]]]] = {
        stage: [] for stage in stages.values()
    }
    for operation, layers in rows:
        groups[stages[operation.path]].append((operation, layers))
    return tuple(_stage(stage, group, total) for stage, group in groups.items() if group)


def _stage(stage: str, group: Rows, total: float) -> StageTime:
    ms, macs = sum(operation.ms for operation, _ in group), _macs(group)
    return StageTime(
        stage=stage,
        ms=ms,
        share=ms / total,
        macs=macs,
        gmacs_per_s=macs / ms / 1e6 if macs and ms else None,
    )


def _macs(rows: Rows) -> int:
    return sum(layer.macs for _, layers in rows for layer in layers)


def stages_of(paths: Iterable[str]) -> Mapping[str, str]:
    """Return the stage of each path, in their order: its first name, and the number behind that
    where numbered parts have parts of their own (`stages.2`, but `stem` for `stem.0`)."""
    split = {path: path.split(".") for path in paths}
    numbered = {parts[0] for parts in split.values() if len(parts) > 2 and parts[1].isdecimal()}
    return {
        path: ".".join(parts[: 2 if parts[0] in numbered and parts[1:2] != [] else 1]) or NO_STAGE
        for path, parts in split.items()
    }


def macs_notes(name: str, recorded: Recorded, stated: int) -> list[str]:
    """Return notes on a model's multiply-adds, as counted in the artifact: that they differ from
    the manifest's by over 1 %, or that some belong to no operation of the runtime's."""
    counted = sum(layer.macs for layer in recorded.layers)
    owned = sum(
        layer.macs
        for layers in layers_by_operation(recorded.operations, recorded.layers)
        for layer in layers
    )
    notes = []
    if abs(counted - stated) > 0.01 * stated:
        notes.append(
            f"{name}: {counted / 1e6:.1f} M multiply-adds were counted in the artifact, its "
            f"manifest says {stated / 1e6:.1f} M."
        )
    if owned != counted:
        notes.append(
            f"{name}: {(counted - owned) / 1e6:.1f} M multiply-adds belong to no operation that "
            "the runtime names."
        )
    return notes
