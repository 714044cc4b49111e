"""The app as a `Measurer`: a block is one request, made in one process of the phone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lolvit_benchmarks.backends.android.app import App
from lolvit_benchmarks.backends.android.blocks import Block, Plan, Seen, Slot
from lolvit_benchmarks.backends.android.contract import (
    DeviceRecording,
    DeviceRequest,
    RecordedEntrant,
    RequestEntrant,
    RequestSlot,
)
from lolvit_benchmarks.harness.schedule import Profile, fitted, warm_up_iterations

_BLOCK_S = 300.0  # beside the runs themselves: the app's start, loading, a slow phone


@dataclass(frozen=True)
class AppRuns:
    """The app on one phone with entrants that it has the files of; as `Measurer`."""

    app: App
    runtime: str
    threads: int
    entrants: tuple[RequestEntrant, ...]
    profile: Profile
    hear: Callable[[int], None] = lambda done: None

    @property
    def identity(self) -> str:
        """The app's version and that of its runtime."""
        facts = self.app.facts
        return f"{facts.app_version} {self.runtime} {facts.runtimes[self.runtime]}"

    def look(self, names: Sequence[str]) -> Block:
        """As `Measurer.look`."""
        return self._run([(name, 0, 1) for name in names])

    def plan(self, profile: Profile, look: Block) -> Plan:
        """As `Measurer.plan`."""
        runs_s = [seen.run_ms / 1e3 for seen in look.seen.values()]
        fit = fitted(profile, runs_s)
        settling = {n: warm_up_iterations(s.run_ms / 1e3) for n, s in look.seen.items()}
        return Plan(blocks=fit.blocks, rounds=fit.rounds, burst=fit.burst, settling=settling)

    def block(self, plan: Plan, number: int) -> Block:
        """As `Measurer.block`."""
        return self._run(plan.slots(number))

    def notes(self) -> tuple[str, ...]:
        """As `Measurer.notes`."""
        return ("Each block was measured in a process of its own on the phone.",)

    def _run(self, slots: Sequence[tuple[str, int, int]]) -> Block:
        request = DeviceRequest(
            runtime=self.runtime,
            threads=self.threads,
            entrants=self.entrants,
            warm_up_runs=self.profile.warm_up_runs,
            warm_up_s=self.profile.warm_up_s,
            slots=tuple(RequestSlot(entrant=n, settling=s, burst=b) for n, s, b in slots),
        )
        timeout_s = _BLOCK_S + 10 * self.profile.seconds
        answer = self.app.run(request, lambda text: self.hear(int(text)), timeout_s)
        return _block(answer)


def _block(answer: DeviceRecording) -> Block:
    details = {"app": answer.app_version}
    if answer.cpuset is not None:
        details["cpuset"] = answer.cpuset
    return Block(
        slots=tuple(Slot(entrant=s.entrant, durations_ns=s.durations_ns) for s in answer.slots),
        seen={entrant.name: _seen(entrant) for entrant in answer.entrants},
        runtime_version=answer.runtime_version,
        details=details,
    )


def _seen(entrant: RecordedEntrant) -> Seen:
    return Seen(**entrant.model_dump(exclude={"name", "artifact_sha256"}))
