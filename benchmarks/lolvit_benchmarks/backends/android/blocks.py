"""Blocks of a measurement on a phone, as they are kept between two calls of the same command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from lolvit_benchmarks.harness.schedule import SLOTS, Profile, order_of
from lolvit_benchmarks.harness.timing import Recording, Round
from lolvit_benchmarks.results import document as result

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Seen(_Frozen):
    """What was seen of one entrant; None is what isn't told."""

    run_ms: Positive = Field(description="of one inference, about")
    load_ms: Positive | None = None
    first_ms: Positive | None = None
    peak_memory_bytes: int | None = None
    placement: dict[str, int] = {}
    options: dict[str, str] = {}
    logits: tuple[float, ...] | None = None


class Slot(_Frozen):
    """The recorded runs of one entrant in one slot."""

    entrant: str
    durations_ns: tuple[Annotated[int, Field(gt=0)], ...]


class Block(_Frozen):
    """One block: its slots in their order, what was seen of each entrant, and how the phone was
    before and after it."""

    slots: tuple[Slot, ...]
    seen: dict[str, Seen]
    runtime_version: str
    details: dict[str, str] = {}
    readings: tuple[result.Reading, ...] = ()


class Plan(_Frozen):
    """The rounds and runs that the profile's time allows on this phone."""

    blocks: int
    rounds: int
    burst: int
    settling: dict[str, int]

    def slots(self, block: int) -> list[tuple[str, int, int]]:
        """Return entrant, settling and recorded runs of each slot of a block."""
        names = list(self.settling)
        numbers = range(block * self.rounds, (block + 1) * self.rounds)
        order = [name for number in numbers for name in order_of(names, number)]
        return [(name, self.settling[name], self.burst) for name in order]


class Measurer(Protocol):
    """What runs artifacts on a phone: the app, or a program."""

    @property
    def identity(self) -> str:
        """What changes with whatever could change its times."""

    def look(self, names: Sequence[str]) -> Block:
        """Run each entrant a few times, for its time and outputs.

        Raises:
            DeviceError: it failed, or the phone was lost.
        """

    def plan(self, profile: Profile, look: Block) -> Plan:
        """Return what the profile means here."""

    def block(self, plan: Plan, number: int) -> Block:
        """Measure one block.

        Raises:
            DeviceError: it failed, or the phone was lost.
        """

    def notes(self) -> tuple[str, ...]:
        """Return what a reader has to know of how it measures."""


def recording_of(blocks: Sequence[Block], plan: Plan, profile: Profile) -> Recording:
    """Return blocks as the recording that they make together."""
    planned = replace(profile, blocks=plan.blocks, rounds=plan.rounds, burst=plan.burst)
    each = SLOTS * len(plan.settling)
    rounds = [
        Round(
            number,
            tuple((s.entrant, s.durations_ns) for s in block.slots[start : start + each]),
        )
        for number, block in enumerate(blocks)
        for start in range(0, len(block.slots), each)
    ]
    return Recording(plan=planned, rounds=rounds)
