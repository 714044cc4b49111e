"""The conversation with the page: which cell it measures, what it has sent, what it is told next.

Requests come in threads of the server, one at a time through a lock; what they mean for the run is
handed on through a queue to the thread that waits for results.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
from pydantic import ValidationError

from lolvit_benchmarks.backends.browser.gates import agreement
from lolvit_benchmarks.backends.browser.protocol import (
    EVENT,
    About,
    Alive,
    Block,
    Bye,
    Failed,
    Hello,
    PageRound,
    Ready,
)
from lolvit_benchmarks.harness.candidates import Configuration, InspectedCandidate
from lolvit_benchmarks.harness.schedule import Profile, fitted, order_of, warm_up_iterations
from lolvit_benchmarks.harness.timing import Recording, Round
from lolvit_benchmarks.results import document as result
from lolvit_runtimes.session import FloatArray

LOST_S = 90.0  # browsers wake a page out of sight only once a minute


@dataclass
class PageCell:
    """One cell, and what the page has sent of it. `references` are the logits that the artifacts
    give on this machine."""

    setting: Configuration
    entrants: Sequence[InspectedCandidate]
    references: Mapping[str, FloatArray]
    recording: Recording = field(default_factory=Recording)
    readings: list[result.Reading] = field(default_factory=list)
    ready: Ready | None = None
    settling: dict[str, int] = field(default_factory=dict)
    agreements: dict[str, float] = field(default_factory=dict)

    def restart(self) -> None:
        """Forget what a page sent that has gone."""
        self.recording, self.readings, self.ready = Recording(), [], None


@dataclass(frozen=True)
class Joined:
    """A page has begun; `again`: in the place of one that has gone."""

    about: About
    again: bool


@dataclass(frozen=True)
class Started:
    """A cell's artifacts are loaded and have the right logits."""

    cell: int


@dataclass(frozen=True)
class Progressed:
    """So many rounds of the present cell are done."""

    done: int
    planned: int


@dataclass(frozen=True)
class Ended:
    """A cell is measured, or (`why`) has failed."""

    cell: int
    why: str | None = None


@dataclass(frozen=True)
class Left:
    """The page was closed."""


Happening = Joined | Started | Progressed | Ended | Left
Reply = tuple[HTTPStatus, dict[str, Any]]


def nothing_to_measure(body: bytes) -> Reply:
    """Answer a page that is there to be looked at alone."""
    return HTTPStatus.GONE, {"error": "nothing is to be measured"}


class _RefusedError(Exception):
    """A message that doesn't fit: its status and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Exchange:
    """Answers the page's messages, in the order of the cells."""

    def __init__(
        self,
        cells: Sequence[PageCell],
        profile: Profile,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cells, self.profile = cells, profile
        self.about: About | None = None
        self.position = 0
        self.happened: queue.Queue[Happening] = queue.Queue()
        self._clock = clock
        self._client: str | None = None
        self._heard = clock()
        self._lock = threading.Lock()
        self._over = False

    @property
    def done(self) -> bool:
        """Whether every cell has ended."""
        return self.position >= len(self.cells)

    def silent_s(self) -> float:
        """Return how long nothing has been heard of the page that measures; 0 without one."""
        return self._clock() - self._heard if self._client is not None else 0.0

    def close(self) -> None:
        """Tell the page from now on that it is over."""
        with self._lock:
            self._over = True

    def answer(self, body: bytes) -> Reply:
        """Answer one posted message, whatever it holds."""
        try:
            event = EVENT.validate_json(body)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            return HTTPStatus.BAD_REQUEST, {"error": f"{place}: {first['msg']}"[:500]}
        with self._lock:
            try:
                return HTTPStatus.OK, self._take(event)
            except _RefusedError as refused:
                return refused.status, {"error": refused.why}

    def _take(self, event: Hello | Alive | Ready | Block | Failed | Bye) -> dict[str, Any]:
        if self._over:
            raise _RefusedError(HTTPStatus.GONE, "the run is over")
        if isinstance(event, Hello):
            return self._hello(event)
        if event.client != self._client:
            raise _RefusedError(HTTPStatus.CONFLICT, "another page is measuring")
        self._heard = self._clock()
        if isinstance(event, Alive):
            if event.done < event.planned:  # that all are done is told by the last block
                self.happened.put(Progressed(event.done, event.planned))
            return {}
        if isinstance(event, Bye):
            self._client = None
            self.happened.put(Left())
            return {}
        if event.cell != self.position or self.done:
            raise _RefusedError(HTTPStatus.CONFLICT, f"cell {event.cell} is not the one measured")
        if isinstance(event, Failed):
            return self._end(event.what or "failed without a reason")
        return self._ready(event) if isinstance(event, Ready) else self._block(event)

    def _hello(self, event: Hello) -> dict[str, Any]:
        if self._client not in (None, event.client) and self.silent_s() < LOST_S:
            raise _RefusedError(HTTPStatus.CONFLICT, "another page is measuring")
        again, self.about = self.about is not None, event.about
        self._client, self._heard = event.client, self._clock()
        if not self.done:
            self.cells[self.position].restart()
        self.happened.put(Joined(event.about, again))
        return self._next()

    def _next(self) -> dict[str, Any]:
        return {"next": None if self.done else self.position}

    def _end(self, why: str | None = None) -> dict[str, Any]:
        self.happened.put(Ended(self.position, why))
        self.position += 1
        return self._next()

    def _ready(self, event: Ready) -> dict[str, Any]:
        cell = self.cells[self.position]
        names = [one.name for one in cell.entrants]
        if [side.name for side in event.sides] != names or cell.ready is not None:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the cell has the sides {names}")
        for one, side in zip(cell.entrants, event.sides, strict=True):
            logits = np.asarray([side.logits], np.float64)
            agreed = agreement(
                cell.setting.runtime, one.artifact.precision, cell.references[one.name], logits
            )
            cell.agreements[side.name] = agreed.snr_db
            if agreed.missed is not None:
                return self._end(f"{side.name}: {agreed.missed}")
        cell.ready = event
        self.happened.put(Started(self.position))
        return {"plan": self._plan(cell, [side.run_ms / 1000 for side in event.sides])}

    def _plan(self, cell: PageCell, runs_s: list[float]) -> dict[str, Any]:
        names = [one.name for one in cell.entrants]
        plan = fitted(self.profile, runs_s)
        cell.recording.plan = plan
        cell.settling = {
            name: warm_up_iterations(run_s) for name, run_s in zip(names, runs_s, strict=True)
        }
        return {
            "blocks": plan.blocks,
            "rounds": plan.rounds,
            "burst": plan.burst,
            "settling": cell.settling,
            "cool_down_s": plan.cool_down_s,
            # Round i has the order i modulo their number.
            "orders": [order_of(names, number) for number in range(len(names))],
        }

    def _block(self, event: Block) -> dict[str, Any]:
        cell = self.cells[self.position]
        recording, plan = cell.recording, cell.recording.plan
        if plan is None or event.block * plan.rounds != len(recording.rounds):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"block {event.block} is not the next one")
        rounds = [
            self._round(cell, len(recording.rounds) + number, event.block, made)
            for number, made in enumerate(event.rounds)
        ]
        if len(rounds) != plan.rounds:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"a block has {plan.rounds} rounds")
        recording.rounds += rounds
        cell.readings.append(_reading(event))
        self.happened.put(Progressed(len(recording.rounds), plan.blocks * plan.rounds))
        return self._end() if recording.complete else {}

    def _round(self, cell: PageCell, number: int, block: int, made: PageRound) -> Round:
        names = [one.name for one in cell.entrants]
        plan = cell.recording.plan
        fits = plan is not None and all(len(ms) == plan.burst for _, ms in made.slots)
        if not fits or [name for name, _ in made.slots] != order_of(names, number):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"round {number} is not as planned")
        slots = tuple((name, tuple(round(ms * 1e6) for ms in times)) for name, times in made.slots)
        return Round(block, slots)


def _reading(event: Block) -> result.Reading:
    probes = [probe for made in event.rounds for probe in made.probes]
    return result.Reading(
        at_s=event.at_s,
        probe_us=statistics.median(probes) if probes else None,
        frequency_mhz=None,
        temperature_c=None,
        throttle_events=None,
    )
