"""What was recorded, wherever it was, as results: the first entrant against each other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from lolvit_benchmarks.analysis import quality as verdict
from lolvit_benchmarks.analysis import statistics as stats
from lolvit_benchmarks.harness.candidates import Entrant, Setting, notes, side_of
from lolvit_benchmarks.harness.sustained import Curve
from lolvit_benchmarks.harness.timing import Recording
from lolvit_benchmarks.profiling.worker import Profiles
from lolvit_benchmarks.results import document as result
from lolvit_benchmarks.results.device import DeviceInfo


@dataclass(frozen=True)
class Outcome:
    """A measurement of several entrants on one device, and the conditions that it was made under.
    `device_info` is None for this machine; `notes` are said beside every result."""

    setting: Setting
    entrants: Sequence[Entrant]
    recording: Recording
    conditions: verdict.Conditions
    readings: Sequence[result.Reading] = ()
    device: str = "host"
    device_info: DeviceInfo | None = None
    cores: Sequence[int] | None = None
    profiles: Profiles = field(default_factory=Profiles)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def results(self) -> list[result.Result]:
        """Return the first model against each other one; nothing where no round was finished."""
        if not self.recording.rounds:
            return []
        a, *others = self._fastest()
        return [self._result(a, b) for b in others]

    def _fastest(self) -> list[Entrant]:
        """Return each model's entrant with the smallest median, models in their order."""
        models: dict[str, list[Entrant]] = {}
        for one in self.entrants:
            models.setdefault(one.model, []).append(one)
        return [min(several, key=self._median_ms) for several in models.values()]

    def _median_ms(self, one: Entrant) -> float:
        return stats.median(self.recording.samples(one.name).ms)

    def _side(self, one: Entrant) -> result.Side:
        samples, curve = self.recording.samples(one.name), self.curves.get(one.name)
        side = side_of(one, samples, self.profiles, curve)
        others = [other for other in self.entrants if other.model == one.model and other is not one]
        slower = {other.artifact.precision: self._median_ms(other) for other in others}
        return side.model_copy(update={"slower_precisions_ms": slower or None})

    def _result(self, first: Entrant, other: Entrant) -> result.Result:
        a, b = self._side(first), self._side(other)
        interval = stats.ratio_of_medians(b.samples, a.samples, a.sample_round)
        return result.Result(
            runtime=self.setting.runtime,
            runtime_version=first.seen.runtime_version,
            device=self.device,
            device_info=self.device_info,
            precision=self.setting.precision,
            threads=self.setting.threads,
            pinned_cores=tuple(self.cores) if self.cores is not None else None,
            placement=result.Placement(a=first.seen.placement, b=other.seen.placement),
            a=a,
            b=b,
            speedup=result.Speedup(ratio=interval.value, low=interval.low, high=interval.high),
            verdict=_verdict(a, b, interval, self.conditions),
            notes=(*notes(a, b), *self.profiles.notes, *self.notes),
            conditions=result.Conditions(**asdict(self.conditions)),
            readings=tuple(self.readings),
            roof=self.profiles.roof if a.profile or b.profile else None,
        )


def _verdict(
    a: result.Side, b: result.Side, interval: stats.Interval, conditions: verdict.Conditions
) -> result.Verdict:
    sides = [verdict.Series(side.model, side.samples, side.sample_block) for side in (a, b)]
    found = verdict.reasons(sides, conditions)
    return result.Verdict(
        state=verdict.state_of(found),
        reasons=tuple(result.Reason(code=reason.code, text=reason.text) for reason in found),
        winner=verdict.winner(interval),
    )
