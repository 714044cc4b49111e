"""The protocol between the page and the server: messages of the page, and what answers them.

Every message is validated before it is used: the page is trusted no more than a file, since it runs
in any browser of the network that has the token. Requests arrive in threads of the server and are
handled one at a time; events for the run go through a queue to the thread that keeps the results.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lolvit_benchmarks.backends.browser.agreement import References, Selected, agreement
from lolvit_benchmarks.harness.candidates import (
    Configuration,
    InspectedCandidate,
    fastest_precisions,
    has_several_precisions,
)
from lolvit_benchmarks.harness.schedule import (
    SELECTION,
    Profile,
    fitted,
    order_of,
    warm_up_iterations,
)
from lolvit_benchmarks.harness.timing import Recording, Round
from lolvit_benchmarks.results import document as result

MIN_MS, MAX_MS = 1e-6, 1e7  # of one inference: times are recorded in nanoseconds
_MAX_ITEMS = 100_000
SILENCE_LIMIT_S = 90.0  # browsers run timers of a hidden page only once a minute

# Printed in a terminal, which control characters would write to elsewhere.
Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
Name = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Milliseconds = Annotated[float, Field(ge=MIN_MS, le=MAX_MS, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Details = Annotated[dict[Name, Text], Field(max_length=50)]


class _ClientMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    client: str = Field(pattern=r"^[0-9a-f]{32}$", description="random, drawn when the page opens")


class About(BaseModel):
    """The browser, as it describes itself; `details` has what it reports."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    cores: int = Field(ge=1, le=4096)
    isolated: bool = Field(description="cross-origin isolated: threads and a fine clock")
    software_gpu: bool | None = Field(description="null: no WebGPU")
    details: Details


class Hello(_ClientMessage):
    """The page is open and ready to measure."""

    kind: Literal["hello"]
    about: About


class Heartbeat(_ClientMessage):
    """The page is alive: `done` of `planned` rounds of the current case."""

    kind: Literal["heartbeat"]
    done: int = Field(ge=0, le=_MAX_ITEMS)
    planned: int = Field(ge=0, le=_MAX_ITEMS)


class SelectedValues(BaseModel):
    """An output: its number of values, and those that the job asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int = Field(ge=0)
    values: Annotated[list[Finite], Field(max_length=_MAX_ITEMS)]


class LoadedCandidate(BaseModel):
    """One artifact as the runtime loaded it: `run_ms` is the time of an inference after warm-up,
    `outputs` are those of the photo."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    load_ms: Milliseconds
    first_ms: Milliseconds
    preprocess_ms: Milliseconds
    run_ms: Milliseconds
    outputs: Annotated[dict[Name, SelectedValues], Field(max_length=20)]
    options: Details
    placement: Annotated[dict[Name, Annotated[int, Field(ge=0)]], Field(max_length=20)]


class Ready(_ClientMessage):
    """All artifacts of a case are loaded and warmed up; answered with the plan of its rounds."""

    kind: Literal["ready"]
    case: int
    runtime_version: Name
    clock_us: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    candidates: Annotated[list[LoadedCandidate], Field(min_length=1, max_length=50)]


class PageRound(BaseModel):
    """One round: candidate and milliseconds of each slot, in order, and the microseconds of the
    fixed arithmetic after each slot."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    slots: Annotated[list[tuple[Name, list[Milliseconds]]], Field(min_length=1, max_length=200)]
    probes: Annotated[list[Annotated[float, Field(gt=0, le=1e9)]], Field(max_length=200)]


class Block(_ClientMessage):
    """The rounds of one block; `at_s` is the seconds since the case's first round began."""

    kind: Literal["block"]
    case: int
    block: int
    at_s: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
    rounds: Annotated[list[PageRound], Field(min_length=1, max_length=_MAX_ITEMS)]


class Failed(_ClientMessage):
    """The case can't be measured in this browser."""

    kind: Literal["failed"]
    case: int
    reason: Text


class Bye(_ClientMessage):
    """The page is being closed."""

    kind: Literal["bye"]


Message = Annotated[Hello | Heartbeat | Ready | Block | Failed | Bye, Field(discriminator="kind")]
MESSAGE: TypeAdapter[Hello | Heartbeat | Ready | Block | Failed | Bye] = TypeAdapter(Message)


@dataclass
class PageCase:
    """One benchmark case, and the page's messages about it. `references` are the artifacts' outputs
    on this machine. While a model has several precisions among the candidates, the fastest is
    being found; it is then measured again."""

    configuration: Configuration
    candidates: Sequence[InspectedCandidate]
    references: Mapping[str, References]
    recording: Recording = field(default_factory=Recording)
    readings: list[result.Reading] = field(default_factory=list)
    ready: Ready | None = None
    warm_up: dict[str, int] = field(default_factory=dict)
    snr_db: dict[str, float] = field(default_factory=dict)

    @property
    def selecting(self) -> bool:
        """Whether the fastest precision of each model is being found, of which there is no
        result."""
        return has_several_precisions(self.candidates)

    def restart(self) -> None:
        """Discard the messages of a page that was lost."""
        self.recording, self.readings, self.ready = Recording(), [], None


@dataclass(frozen=True)
class Joined:
    """A page has joined; `again`: in place of a lost one."""

    about: About
    again: bool


@dataclass(frozen=True)
class Started:
    """The artifacts of a case are loaded, and their outputs agree."""

    case: int


@dataclass(frozen=True)
class Progressed:
    """Progress of the current case, in rounds."""

    done: int
    planned: int


@dataclass(frozen=True)
class Ended:
    """A case is finished, or has failed for a `reason`."""

    case: int
    reason: str | None = None


@dataclass(frozen=True)
class Left:
    """The page was closed."""


PageEvent = Joined | Started | Progressed | Ended | Left
Reply = tuple[HTTPStatus, dict[str, Any]]


def no_measurement(body: bytes) -> Reply:
    """Answer the messages of a page that has no measurement."""
    return HTTPStatus.GONE, {"error": "there is no measurement"}


class _RejectedError(Exception):
    """A message is rejected, with an HTTP status and a reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Exchange:
    """Leads one page through the cases in order, by its answers to the page's messages."""

    def __init__(
        self,
        cases: Sequence[PageCase],
        profile: Profile,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cases, self.profile = list(cases), profile
        self.about: About | None = None
        self.position = 0
        self.events: queue.Queue[PageEvent] = queue.Queue()
        self._clock = clock
        self._client: str | None = None
        self._last_message_s = clock()
        self._lock = threading.Lock()
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether every case is finished or failed."""
        return self.position >= len(self.cases)

    def silent_s(self) -> float:
        """Return the seconds since the measuring page's last message; 0 without a page."""
        return self._clock() - self._last_message_s if self._client is not None else 0.0

    def close(self) -> None:
        """Reject all further messages: the run is over."""
        with self._lock:
            self._ended = True

    def answer(self, body: bytes) -> Reply:
        """Answer one posted message, also an invalid one."""
        try:
            message = MESSAGE.validate_json(body)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            return HTTPStatus.BAD_REQUEST, {"error": f"{place}: {first['msg']}"[:500]}
        with self._lock:
            try:
                return HTTPStatus.OK, self._handle(message)
            except _RejectedError as rejected:
                return rejected.status, {"error": rejected.reason}

    def _handle(self, message: Hello | Heartbeat | Ready | Block | Failed | Bye) -> dict[str, Any]:
        if self._ended:
            raise _RejectedError(HTTPStatus.GONE, "the run is over")
        if isinstance(message, Hello):
            return self._hello(message)
        if message.client != self._client:
            raise _RejectedError(HTTPStatus.CONFLICT, "another page is measuring")
        self._last_message_s = self._clock()
        if isinstance(message, Heartbeat):
            if message.done < message.planned:  # completion is reported by the last block
                self.events.put(Progressed(message.done, message.planned))
            return {}
        if isinstance(message, Bye):
            self._client = None
            self.events.put(Left())
            return {}
        if message.case != self.position or self.done:
            raise _RejectedError(HTTPStatus.CONFLICT, f"case {message.case} is not the current one")
        if isinstance(message, Failed):
            return self._finish(message.reason or "failed without a message")
        return self._ready(message) if isinstance(message, Ready) else self._block(message)

    def _hello(self, message: Hello) -> dict[str, Any]:
        if self._client not in (None, message.client) and self.silent_s() < SILENCE_LIMIT_S:
            raise _RejectedError(HTTPStatus.CONFLICT, "another page is measuring")
        again, self.about = self.about is not None, message.about
        self._client, self._last_message_s = message.client, self._clock()
        if not self.done:
            self.cases[self.position].restart()
        self.events.put(Joined(message.about, again))
        return self._next()

    def _next(self) -> dict[str, Any]:
        """Return which case is next and, if it is left with some of its candidates, which."""
        if self.done:
            return {"next": None}
        candidates = self.cases[self.position].candidates
        chosen = any(one.slower_precisions_ms for one in candidates)
        only = {"candidates": [one.name for one in candidates]} if chosen else {}
        return {"next": self.position, **only}

    def _leave_fastest(self) -> dict[str, Any]:
        case = self.cases[self.position]
        chosen = fastest_precisions(case.candidates, case.recording)
        self.cases[self.position] = PageCase(case.configuration, chosen, case.references)
        return self._next()

    def _finish(self, reason: str | None = None) -> dict[str, Any]:
        self.events.put(Ended(self.position, reason))
        self.position += 1
        return self._next()

    def _ready(self, message: Ready) -> dict[str, Any]:
        case = self.cases[self.position]
        names = [one.name for one in case.candidates]
        if [loaded.name for loaded in message.candidates] != names or case.ready is not None:
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"the case has the candidates {names}")
        for one, loaded in zip(case.candidates, message.candidates, strict=True):
            outputs = {
                name: Selected(each.size, np.asarray(each.values, np.float64))
                for name, each in loaded.outputs.items()
            }
            found = agreement(
                case.configuration.runtime, one.artifact, case.references[one.name], outputs
            )
            if found.snr_db is not None:
                case.snr_db[loaded.name] = found.snr_db
            if found.problem is not None:
                return self._finish(f"{loaded.name}: {found.problem}")
        case.ready = message
        self.events.put(Started(self.position))
        return {"plan": self._plan(case, [loaded.run_ms / 1000 for loaded in message.candidates])}

    def _plan(self, case: PageCase, runs_s: list[float]) -> dict[str, Any]:
        names = [one.name for one in case.candidates]
        plan = fitted(SELECTION if case.selecting else self.profile, runs_s)
        case.recording.plan = plan
        case.warm_up = {
            name: warm_up_iterations(run_s) for name, run_s in zip(names, runs_s, strict=True)
        }
        return {
            "blocks": plan.blocks,
            "rounds": plan.rounds,
            "burst": plan.burst,
            "warm_up": case.warm_up,
            "cool_down_s": plan.cool_down_s,
            # Round i has the order i modulo the number of orders.
            "orders": [order_of(names, number) for number in range(len(names))],
        }

    def _block(self, message: Block) -> dict[str, Any]:
        case = self.cases[self.position]
        recording, plan = case.recording, case.recording.plan
        if plan is None or message.block * plan.rounds != len(recording.rounds):
            raise _RejectedError(
                HTTPStatus.BAD_REQUEST, f"block {message.block} is not the next one"
            )
        rounds = [
            self._round(case, len(recording.rounds) + number, message.block, page_round)
            for number, page_round in enumerate(message.rounds)
        ]
        if len(rounds) != plan.rounds:
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"a block has {plan.rounds} rounds")
        recording.rounds += rounds
        case.readings.append(_reading(message))
        self.events.put(Progressed(len(recording.rounds), plan.blocks * plan.rounds))
        if not recording.complete:
            return {}
        return self._leave_fastest() if case.selecting else self._finish()

    def _round(self, case: PageCase, number: int, block: int, page_round: PageRound) -> Round:
        names = [one.name for one in case.candidates]
        plan = case.recording.plan
        fits = plan is not None and all(len(ms) == plan.burst for _, ms in page_round.slots)
        if not fits or [name for name, _ in page_round.slots] != order_of(names, number):
            raise _RejectedError(HTTPStatus.BAD_REQUEST, f"round {number} is not as planned")
        slots = tuple(
            (name, tuple(round(ms * 1e6) for ms in times)) for name, times in page_round.slots
        )
        return Round(block, slots)


def _reading(message: Block) -> result.Reading:
    probes = [probe for page_round in message.rounds for probe in page_round.probes]
    return result.Reading(
        at_s=message.at_s,
        probe_us=statistics.median(probes) if probes else None,
        frequency_mhz=None,
        temperature_c=None,
        throttle_events=None,
    )
