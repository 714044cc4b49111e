"""Where the time goes, as tables in words."""

from __future__ import annotations

from collections.abc import Sequence

from lolvit_benchmarks.reporting import text as words
from lolvit_benchmarks.reporting.grid import Grid
from lolvit_benchmarks.results.document import Result, Side
from lolvit_benchmarks.results.profile import KindTime, OperationProfile, Roof

_MUCH_LONGER = 1.3  # than the median of the runs that were timed
_DISTURBED = (
    " That is much longer than when it was timed: the machine was busy while profiling, or the "
    "operations are so short that the profiler is most of their time."
)
_SHOWN = 12  # kinds of operations; the JSON document holds all


def grids(results: Sequence[Result]) -> list[Grid]:
    """Return, for each side that was profiled, the time by stage and the time by operation; a side
    that several results of one setting share, once."""
    found: dict[tuple[str, str], list[Grid]] = {}
    for result in results:
        for side in (result.a, result.b):
            if side.profile is not None and result.roof is not None:
                where = words.setting(result)
                found[side.model, where] = _grids(side, side.profile, result.roof, where)
    return [grid for pair in found.values() for grid in pair]


def _grids(side: Side, profile: OperationProfile, roof: Roof, where: str) -> list[Grid]:
    return [
        Grid(
            title=f"{side.model} by stage, {where}",
            headings=("stage", "ms", "share", "M MAC", "GMAC/s"),
            rows=stage_rows(profile),
            note=summary(side, profile, roof),
        ),
        Grid(
            title=f"{side.model} by operation, {where}",
            headings=("operation", "calls", "ms", "share", "M MAC"),
            rows=kind_rows(profile),
        ),
    ]


def summary(side: Side, profile: OperationProfile, roof: Roof) -> str:
    """Return a profile in a few sentences."""
    ms = words.milliseconds
    loads = "; ".join(f"{load.what}: {load.gmacs_per_s:.0f}" for load in roof.loads)
    return (
        f"{profile.macs / 1e6:.0f} M multiply-adds in {ms(side.median_ms)} ms are "
        f"{profile.gmacs_per_s:.0f} GMAC/s, {profile.roof_share:.0%} of the roof of "
        f"{roof.gmacs_per_s:.0f} ({loads}). {profile.without_macs_share:.0%} of the time goes to "
        f"operations that are not multiply-adds. While profiled, a run took {ms(profile.run_ms)} "
        f"ms, of which {ms(profile.operations_ms)} in operations: shares are of these."
        f"{_DISTURBED if profile.operations_ms > _MUCH_LONGER * side.median_ms else ''}"
    )


def stage_rows(profile: OperationProfile) -> tuple[tuple[str, ...], ...]:
    """Return a row for each stage of the model, in its order."""
    return tuple(
        (
            time.stage,
            f"{time.ms:.3f}",
            f"{time.share:.1%}",
            _millions(time.macs),
            f"{time.gmacs_per_s:.1f}" if time.gmacs_per_s is not None else "–",
        )
        for time in profile.stages
    )


def kind_rows(profile: OperationProfile) -> tuple[tuple[str, ...], ...]:
    """Return a row for each kind of operation, the longest first; one for all behind the
    twelfth."""
    first, rest = list(profile.operations[:_SHOWN]), profile.operations[_SHOWN:]
    if len(rest) > 1:
        first.append(_together(rest))
    else:
        first += rest
    return tuple(
        (time.kind, str(time.calls), f"{time.ms:.3f}", f"{time.share:.1%}", _millions(time.macs))
        for time in first
    )


def _together(times: Sequence[KindTime]) -> KindTime:
    return KindTime(
        kind=f"{len(times)} other kinds",
        calls=sum(time.calls for time in times),
        ms=sum(time.ms for time in times),
        share=sum(time.share for time in times),
        macs=sum(time.macs for time in times),
    )


def _millions(macs: int) -> str:
    return f"{macs / 1e6:.1f}" if macs else "–"
