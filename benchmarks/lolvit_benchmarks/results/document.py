"""The result document: what `lolvit bench --json` prints and its files hold."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lolvit.manifest import Precision, Sha256
from lolvit_benchmarks.harness.environment import Environment
from lolvit_benchmarks.results.device import DeviceInfo, Estimate
from lolvit_benchmarks.results.profile import OperationProfile, Roof

SCHEMA_VERSION: Final = 1
KIND: Final = "lolvit-bench"
Best = Literal["best"]
BEST: Final = "best"  # for a precision: each model in its own fastest one

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _some(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values:
        raise ValueError("must hold at least one sample")
    return values


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sustained(_Frozen):
    """A model run by itself without a pause: the median of each stretch of time, by the second at
    which the stretch began, and the medians of the first tenth and the last three tenths."""

    seconds: Positive
    at_s: tuple[float, ...]
    median_ms: tuple[Positive, ...]
    burst_ms: Positive
    plateau_ms: Positive


class Side(_Frozen):
    """One of the two models of a result: what it is, and how long it took.

    Item i of `samples`, `sample_block`, `sample_round` and `sample_order` is one inference: its
    milliseconds, its block and round, and its place among all recorded runs of the measurement.
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
        default=None, description="medians of the model's other precisions in the same measurement"
    )
    artifact: str = Field(description="file name")
    artifact_bytes: int
    artifact_sha256: Sha256

    median_ms: Positive
    p90_ms: Positive
    p99_ms: Positive
    throughput_per_s: Positive = Field(description="recorded runs over the time that they took")
    variation: Share = Field(description="standard deviation over mean, of all runs")
    variation_trimmed: Share = Field(description="the same without the slowest 5 %: judged")
    drift: Share = Field(description="range of the blocks' medians over the median: judged")
    block_medians_ms: tuple[Positive, ...]

    load_ms: Positive | None = Field(
        description="opening the artifact in a fresh process; with LiteRT, one inference included; "
        "null, as with the next two: not told by the device"
    )
    first_ms: Positive | None = Field(description="the first inference after that")
    preprocess_ms: Positive | None = Field(description="from the decoded photo to the input")
    peak_memory_bytes: int | None = Field(description="added by opening and running the artifact")
    denormal_share: float | None = Field(description="the largest of any intermediate tensor")
    options: dict[str, str] = Field(description="what the session was opened with")
    profile: OperationProfile | None = Field(
        default=None, description="where the time goes; null: not asked for, or not told"
    )

    samples: Annotated[tuple[Positive, ...], AfterValidator(_some)]
    sample_block: tuple[int, ...]
    sample_round: tuple[int, ...]
    sample_order: tuple[int, ...]
    sustained: Sustained | None = None

    @model_validator(mode="after")
    def _columns_match(self) -> Side:
        columns = (self.samples, self.sample_block, self.sample_round, self.sample_order)
        if len({len(column) for column in columns}) != 1:
            raise ValueError("samples and their columns differ in length")
        return self


class Speedup(_Frozen):
    """median(b) / median(a), more than 1 where `a` is faster; bootstrap 95 % interval."""

    ratio: Positive
    low: Positive
    high: Positive


class Reason(_Frozen):
    """One thing that makes a result unstable."""

    code: str
    text: str


class Verdict(_Frozen):
    """Whether the result can be trusted, and which side is faster: null where the interval of the
    ratio spans 1."""

    state: Literal["STABLE", "UNSTABLE"]
    reasons: tuple[Reason, ...]
    winner: Literal["a", "b"] | None


class Placement(_Frozen):
    """Operations by where they run; empty where the runtime doesn't tell."""

    a: dict[str, int]
    b: dict[str, int]


class Conditions(_Frozen):
    """What the machine did meanwhile; null is what can't be read."""

    cores: int
    others_cores: float | None = Field(description="processor time of other processes, in cores")
    stolen_share: float | None = Field(description="of the processor time, by the hypervisor")
    frequency_change: float | None = Field(description="largest over smallest, less 1")
    probe_change: float | None = Field(description="the same of a fixed piece of arithmetic's time")
    throttle_events: int | None
    too_hot_c: float | None = Field(
        default=None, description="the highest temperature, where it was over the device's limit"
    )
    interrupted: bool


class Reading(_Frozen):
    """One look at the machine between blocks."""

    at_s: float
    probe_us: Positive | None = Field(description="null: not this machine's processor")
    frequency_mhz: float | None
    temperature_c: float | None
    throttle_events: int | None
    battery_percent: float | None = None


class Result(_Frozen):
    """Model `a` against model `b` in one runtime, with one precision and number of threads."""

    runtime: str
    runtime_version: str
    device: str
    device_info: DeviceInfo | None = Field(
        default=None, description="null: this machine, which `environment` describes"
    )
    precision: Precision | Best = Field(description="best: each side in its own fastest one")
    threads: int
    pinned_cores: tuple[int, ...] | None = Field(description="null: the system can't pin")
    placement: Placement
    a: Side
    b: Side
    speedup: Speedup
    verdict: Verdict
    notes: tuple[str, ...] = Field(description="what a reader has to know beside the figures")
    conditions: Conditions
    readings: tuple[Reading, ...]
    roof: Roof | None = Field(default=None, description="null: no profile")


class Plan(_Frozen):
    """How long was measured: recorded runs of each model are the product of the four."""

    name: Literal["quick", "default", "reference"]
    seconds: float
    cool_down_s: float


class Photo(_Frozen):
    """What the models were run on."""

    name: str
    sha256: Sha256


class Failure(_Frozen):
    """What gave no result, and why: a model (null: all), in a runtime (null: its export failed)."""

    model: str | None = None
    device: str | None = None
    runtime: str | None = None
    precision: Precision | Best | None = None
    threads: int | None = None
    what: str


class Document(_Frozen):
    """All results of one run of `lolvit bench`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["lolvit-bench"] = KIND
    state: Literal["complete", "interrupted"]
    profile: Plan
    rule: str = Field(description="by which results are judged stable")
    photo: Photo
    environment: Environment
    results: tuple[Result, ...]
    estimates: tuple[Estimate, ...] = Field(
        default=(), description="not measured: what vendors' tools say that it would take"
    )
    failures: tuple[Failure, ...] = ()
