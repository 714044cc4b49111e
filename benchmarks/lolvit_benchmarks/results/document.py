"""The result document: what `lolvit bench --json` prints and its files hold, schema version 2.

In every result, and in every estimate, the candidate is the model that `lolvit bench` was given
first, and the baseline the one that it is compared with.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from lolvit.documents import Frozen
from lolvit.manifest import Precision, Sha256

SCHEMA_VERSION: Final = 2
KIND: Final = "lolvit-bench"
Best = Literal["best"]
BEST: Final = "best"  # for a precision: each model in its own fastest one

DeviceKind = Literal["cpu", "gpu", "npu", "phone", "browser"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1 + 1e-9, allow_inf_nan=False)]


class DeviceInfo(Frozen):
    """The device that a result comes from, as far as it is known."""

    id: str = Field(description="as --device names it")
    kind: DeviceKind
    name: str = Field(description="what its maker or driver calls it")
    software: bool = Field(description="true: an accelerator emulated in software")
    details: dict[str, str] = Field(
        default={}, description="such as system, driver, governor; what can't be read is absent"
    )


class ModelEstimate(Frozen):
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
        default={}, description="milliseconds of the costliest operations, where they are reported"
    )


class Estimate(Frozen):
    """An estimate by a vendor's tool: no run, no samples, no interval, and never in one figure with
    a measurement."""

    device: DeviceInfo
    runtime: str
    runtime_version: str
    source: str = Field(description="whose estimate it is, and of what")
    precision: Precision
    candidate: ModelEstimate
    baseline: ModelEstimate
    ratio: Positive = Field(description="the baseline's milliseconds over the candidate's")
    notes: tuple[str, ...] = ()


class KindTime(Frozen):
    """All operations of one kind in the runtime's own, optimized graph."""

    kind: str
    calls: int = Field(description="in one inference")
    ms: NonNegative = Field(description="of one profiled inference")
    share: Fraction = Field(description="of the time in operations")
    macs: int


class StageTime(Frozen):
    """All operations of one part of the model, by its module's name."""

    stage: str
    ms: NonNegative = Field(description="of one profiled inference")
    share: Fraction = Field(description="of the time in operations")
    macs: int
    gmacs_per_s: float | None = Field(description="null where there are no multiply-adds")


class OperationProfile(Frozen):
    """The time of a model's operations, recorded by the runtime's profiler in a process of its
    own."""

    runs: int
    run_ms: Positive = Field(description="a whole profiled inference, mean: profiling slows")
    operations_ms: Positive = Field(description="of run_ms, in operations")
    macs: int = Field(description="multiply-adds of the operations, counted in the artifact")
    without_macs_share: Fraction = Field(
        description="of the time: operations without multiply-adds"
    )
    gmacs_per_s: NonNegative = Field(description="macs over the median without profiling")
    roofline_share: NonNegative = Field(description="gmacs_per_s over the roofline's")
    operations: tuple[KindTime, ...]
    stages: tuple[StageTime, ...]


class Load(Frozen):
    """A model of one kind of operation, by which the peak rate of the machine is measured."""

    name: str
    what: str
    macs: int
    median_ms: Positive
    gmacs_per_s: Positive


class Roofline(Frozen):
    """The largest rate of multiply-adds measured in this runtime with as many threads, in
    float32."""

    gmacs_per_s: Positive
    by: str = Field(description="name of the load that reached it")
    loads: tuple[Load, ...]


class Sustained(Frozen):
    """A model run by itself without a pause: the median of each stretch of time, by the second at
    which the stretch began, and the medians of the first tenth and the last three tenths."""

    seconds: Positive
    at_s: tuple[float, ...]
    median_ms: tuple[Positive, ...]
    burst_ms: Positive
    plateau_ms: Positive


def _some(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values:
        raise ValueError("must hold at least one sample")
    return values


class ModelResult(Frozen):
    """One of the two models of a result: what it is, and how long it took.

    Item i of `samples`, `sample_block`, `sample_round` and `sample_order` is one inference: its
    milliseconds, its block and round, and its place among all recorded runs of the benchmark case.
    """

    model: str
    size: tuple[int, int] = Field(description="height and width of the input, in pixels")
    params: int
    macs: int = Field(description="multiply-adds of one inference")
    trained: bool = Field(description="false: random weights, BatchNorm calibrated on photos")
    weights_source: str
    precision: Precision | None = Field(
        default=None, description="of the artifact; null in documents of lolvit 0.1.0's first form"
    )
    slower_precisions_ms: dict[str, float] | None = Field(
        default=None, description="medians of the model's other precisions in the same case"
    )
    artifact: str = Field(description="file name")
    artifact_bytes: int
    artifact_sha256: Sha256

    median_ms: Positive
    p90_ms: Positive
    p99_ms: Positive | None = Field(description="null: fewer than 500 runs")
    throughput_per_s: Positive = Field(description="recorded runs over the time that they took")
    variation: NonNegative = Field(description="standard deviation over mean, of all runs")
    variation_trimmed: NonNegative = Field(
        description="the same without the slowest 5 %; a finding where it is over its limit"
    )
    between_block_range: NonNegative = Field(
        description="range of the blocks' medians over the median; a finding likewise"
    )
    block_medians_ms: tuple[Positive, ...]

    load_ms: Positive | None = Field(
        description="opening the artifact in a fresh process; with LiteRT, one inference included; "
        "null, as with the next two: not reported by the device"
    )
    first_ms: Positive | None = Field(description="the first inference after that")
    preprocess_ms: Positive | None = Field(description="from the decoded photo to the input")
    peak_memory_bytes: int | None = Field(description="added by opening and running the artifact")
    denormal_share: float | None = Field(description="the largest of any intermediate tensor")
    options: dict[str, str] = Field(description="what the session was opened with")
    operation_profile: OperationProfile | None = Field(
        default=None, description="null: not asked for, or not reported by the runtime"
    )

    samples: Annotated[tuple[Positive, ...], AfterValidator(_some)]
    sample_block: tuple[int, ...]
    sample_round: tuple[int, ...]
    sample_order: tuple[int, ...]
    sustained: Sustained | None = None

    @model_validator(mode="after")
    def _columns_match(self) -> ModelResult:
        columns = (self.samples, self.sample_block, self.sample_round, self.sample_order)
        if len({len(column) for column in columns}) != 1:
            raise ValueError("samples and their columns differ in length")
        return self


class Speedup(Frozen):
    """The baseline's time over the candidate's, more than 1 where the candidate is faster: the 20 %
    trimmed mean of the rounds' log ratios of slot medians, with Yuen's 95 % interval."""

    ratio: Positive
    low: Positive
    high: Positive
    over: Literal["rounds", "blocks"] | None = Field(
        default=None,
        description="what the interval is computed over: blocks where they differ by more than "
        "their rounds do; null in documents of schema version 1, whose ratio is that of the "
        "medians and whose interval is a bootstrap's",
    )


class Finding(Frozen):
    """One thing that was found of a measurement."""

    code: str
    text: str


class Quality(Frozen):
    """How precise the speedup is, or that it can't be trusted, and which model is faster."""

    state: Literal["precise", "fair", "coarse", "INVALID"] = Field(
        description="by half_width: precise up to 2 %, fair up to 5 %, else coarse"
    )
    half_width: NonNegative = Field(
        description="half the width of the speedup's interval, on the logarithmic scale"
    )
    winner: Literal["candidate", "baseline"] | None = Field(
        description="null: the interval has values within 1 ± 1 %, or the result is INVALID"
    )
    reasons: tuple[Finding, ...] = Field(description="why it is INVALID")
    findings: tuple[Finding, ...] = Field(
        description="what disturbed the measurement without spoiling the ratio"
    )


class Placement(Frozen):
    """Operations by where they run; empty where the runtime doesn't report it."""

    candidate: dict[str, int]
    baseline: dict[str, int]


class Conditions(Frozen):
    """What the machine did meanwhile; null is what can't be read."""

    cores: int
    used_cores: int | None = Field(
        default=None, description="those that were measured on, and that the next two are of"
    )
    others_cores: float | None = Field(description="processor time of other processes, in cores")
    stolen_share: float | None = Field(description="of the processor time, by the hypervisor")
    frequency_change: float | None = Field(description="largest over smallest, less 1")
    probe_change: float | None = Field(description="the same of a fixed computation's time")
    memory_change: float | None = Field(default=None, description="the same of copying 16 MiB")
    throttle_events: int | None
    too_hot_c: float | None = Field(
        default=None, description="the highest temperature, where it was over the device's limit"
    )
    interrupted: bool


class Reading(Frozen):
    """The machine's state at one moment between blocks."""

    at_s: float
    probe_us: Positive | None = Field(description="null: not this machine's processor")
    memory_probe_us: Positive | None = Field(default=None, description="likewise")
    frequency_mhz: float | None
    temperature_c: float | None
    throttle_events: int | None
    battery_percent: float | None = None
    thermal_state: Literal["nominal", "fair", "serious", "critical"] | None = Field(
        default=None, description="of Apple's systems, which report no temperature"
    )


class Result(Frozen):
    """A candidate against a baseline in one runtime, with one precision and number of threads."""

    runtime: str
    runtime_version: str
    device: str
    device_info: DeviceInfo | None = Field(
        default=None, description="null: this machine, which `environment` describes"
    )
    precision: Precision | Best = Field(description="best: each model in its own fastest one")
    threads: int
    pinned_cores: tuple[int, ...] | None = Field(description="null: the system can't pin")
    placement: Placement
    candidate: ModelResult
    baseline: ModelResult
    speedup: Speedup
    quality: Quality
    notes: tuple[str, ...] = Field(description="what a reader has to know beside the figures")
    conditions: Conditions
    readings: tuple[Reading, ...]
    roofline: Roofline | None = Field(default=None, description="null: no operation profile")

    @property
    def models(self) -> tuple[ModelResult, ModelResult]:
        """The candidate and the baseline."""
        return self.candidate, self.baseline


class Plan(Frozen):
    """The profile of the measurement: its name, time limit and pause between blocks."""

    name: Literal["quick", "default", "reference"]
    seconds: float
    cool_down_s: float


class Photo(Frozen):
    """What the models were run on."""

    name: str
    sha256: Sha256


class Failure(Frozen):
    """What gave no result, and why: a model (null: all), in a runtime (null: its export failed)."""

    model: str | None = None
    device: str | None = None
    runtime: str | None = None
    precision: Precision | Best | None = None
    threads: int | None = None
    what: str


class Environment(Frozen):
    """The machine and the software that a result was measured with; null is what can't be read."""

    device: str
    cpu: str | None = Field(description="the processor's name, as the kernel gives it")
    cpu_flags: tuple[str, ...] | None = Field(description="its features, as the kernel lists them")
    architecture: str
    virtual: bool | None = Field(description="whether this is a guest of a hypervisor")
    cores: int = Field(description="logical cores of the machine")
    cores_available: int = Field(description="logical cores that the process may use")
    governor: str | None
    frequency_mhz: float | None
    highest_frequency_mhz: float | None
    temperature_c: float | None
    battery_percent: int | None
    on_mains: bool | None
    load_average: tuple[float, float, float] | None = Field(description="over 1, 5 and 15 minutes")
    memory_bytes: int | None
    system: str
    python: str
    packages: dict[str, str] = Field(description="versions of those installed")
    lolvit_version: str
    lolvit_commit: str | None = Field(description="with '+changes' where files differ from it")
    date: str


class Document(Frozen):
    """All results of one run of `lolvit bench`."""

    schema_version: Literal[2] = SCHEMA_VERSION
    kind: Literal["lolvit-bench"] = KIND
    state: Literal["complete", "interrupted"]
    profile: Plan
    quality_rule: str = Field(description="the limits by which results are evaluated")
    photo: Photo
    environment: Environment
    results: tuple[Result, ...]
    estimates: tuple[Estimate, ...] = Field(
        default=(), description="not measured: what vendors' tools estimate"
    )
    failures: tuple[Failure, ...] = ()
