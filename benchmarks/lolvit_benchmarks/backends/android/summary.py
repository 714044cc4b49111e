"""A phone's measurement in the types that requests and results are made of: pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lolvit_benchmarks.analysis.quality import Conditions
from lolvit_benchmarks.backends.android.contract import RequestEntrant, RequestFile
from lolvit_benchmarks.backends.android.parts import Parts
from lolvit_benchmarks.backends.android.phone import Facts
from lolvit_benchmarks.backends.android.push import Load
from lolvit_benchmarks.backends.measuring import Contestant, Telemetry
from lolvit_benchmarks.harness.inspection import Preflight
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import DeviceInfo

_BLIND = "The phone tells no temperature: its heat was not watched."


def telemetry_of(
    facts: Facts,
    info: DeviceInfo,
    readings: Sequence[result.Reading],
    *,
    limit_c: float,
    interrupted: bool,
    notes: tuple[str, ...],
) -> Telemetry:
    """Sum up readings: what makes a result unstable is among the conditions."""
    celsius = [r.temperature_c for r in readings if r.temperature_c is not None]
    mhz = [r.frequency_mhz for r in readings if r.frequency_mhz is not None]
    events = [r.throttle_events for r in readings if r.throttle_events is not None]
    return Telemetry(
        info=info,
        conditions=Conditions(
            cores=len(facts.cores) or 1,
            frequency_change=max(mhz) / min(mhz) - 1 if mhz else None,
            throttle_events=sum(events) if events else None,
            too_hot_c=max(celsius) if celsius and max(celsius) > limit_c else None,
            interrupted=interrupted,
        ),
        readings=readings,
        notes=notes if celsius else (*notes, _BLIND),
    )


def preflight_of(name: str, parts: Parts, denormal_share: float | None) -> Preflight:
    """Return what was seen of one entrant: times of the first look, the most memory of any."""
    first, later = parts.look.seen[name], [block.seen[name] for block in parts.blocks]
    memory = [one.peak_memory_bytes for one in (first, *later) if one.peak_memory_bytes is not None]
    return Preflight(
        runtime_version=parts.look.runtime_version,
        load_ms=first.load_ms,
        first_ms=first.first_ms,
        peak_memory_bytes=max(memory) if memory else None,
        placement=first.placement,
        options=first.options,
        denormal_share=denormal_share,
    )


def request_of(one: Contestant, artifact: Load, image: Load) -> RequestEntrant:
    """Return what the app is told of one artifact and its input, which are on the phone."""
    return RequestEntrant.model_validate(
        {
            "name": one.name,
            "artifact": _file(artifact),
            "format": one.artifact.format,
            "input": _file(image),
            "shape": one.image.shape,
            "dtype": one.artifact.image.dtype,
        }
    )


def _file(load: Load) -> RequestFile:
    return RequestFile(name=Path(load.remote).name, sha256=load.sha256, bytes=load.bytes)
