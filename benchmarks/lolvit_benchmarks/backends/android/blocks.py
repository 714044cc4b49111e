"""Blocks of a measurement on a phone, and the file from which an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from lolvit.documents import Frozen, read_document
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit_benchmarks.harness.schedule import SLOTS, Profile, order_of
from lolvit_benchmarks.harness.timing import Recording, Round
from lolvit_benchmarks.results import document as result

# Of a partial measurement that is resumed: later the phone's conditions are others.
MAX_AGE_S = 24 * 3600.0
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CandidateStats(Frozen):
    """Measurements of one candidate in one process; None where none is reported."""

    run_ms: Positive = Field(description="of one inference, approximately")
    load_ms: Positive | None = None
    first_ms: Positive | None = None
    peak_memory_bytes: int | None = None
    placement: dict[str, int] = Field(default_factory=dict)
    options: dict[str, str] = Field(default_factory=dict)
    logits: tuple[float, ...] | None = None


class Slot(Frozen):
    """The recorded runs of one candidate in one slot."""

    candidate: str
    durations_ns: tuple[Annotated[int, Field(gt=0)], ...]


class Block(Frozen):
    """One block: its slots in order, the measurements of each candidate, and readings of the phone
    before and after it."""

    slots: tuple[Slot, ...]
    candidates: dict[str, CandidateStats]
    runtime_version: str
    details: dict[str, str] = Field(default_factory=dict)
    readings: tuple[result.Reading, ...] = ()


class Plan(Frozen):
    """Blocks, rounds and runs that fit into the profile's time on this phone; `warm_up` has the
    warm-up runs of each candidate's slots."""

    blocks: int
    rounds: int
    burst: int
    warm_up: dict[str, int]

    def slots(self, block: int) -> list[tuple[str, int, int]]:
        """Return candidate, warm-up runs and recorded runs of each slot of a block."""
        names = list(self.warm_up)
        numbers = range(block * self.rounds, (block + 1) * self.rounds)
        order = [name for number in numbers for name in order_of(names, number)]
        return [(name, self.warm_up[name], self.burst) for name in order]


class Measurer(Protocol):
    """Runs artifacts on a phone: the app, or a benchmark program."""

    @property
    def identity(self) -> str:
        """Digest or versions of all that affects its times; a partial measurement is resumed by an
        equal one alone."""

    def calibrate(self, names: Sequence[str]) -> Block:
        """Run each candidate a few times, for its approximate time and outputs.

        Raises:
            DeviceError: it failed, or the connection was lost.
        """

    def plan(self, profile: Profile, calibration: Block) -> Plan:
        """Fit the profile to the calibrated times."""

    def block(self, plan: Plan, number: int) -> Block:
        """Measure one block.

        Raises:
            DeviceError: it failed, or the connection was lost.
        """

    def notes(self) -> tuple[str, ...]:
        """Return remarks on the method for the result."""


def recording_of(blocks: Sequence[Block], plan: Plan, profile: Profile) -> Recording:
    """Join blocks to one recording."""
    planned = replace(profile, blocks=plan.blocks, rounds=plan.rounds, burst=plan.burst)
    per_round = SLOTS * len(plan.warm_up)
    rounds = [
        Round(
            number,
            tuple((s.candidate, s.durations_ns) for s in block.slots[start : start + per_round]),
        )
        for number, block in enumerate(blocks)
        for start in range(0, len(block.slots), per_round)
    ]
    return Recording(plan=planned, rounds=rounds)


class PartialMeasurement(BaseModel):
    """The finished blocks of a measurement on one phone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lolvit-bench-parts"] = "lolvit-bench-parts"
    plan: Plan
    calibration: Block
    blocks: tuple[Block, ...] = ()

    def rounds_done(self, slots: int) -> tuple[int, int]:
        """Return the complete rounds after `slots` slots of the next block, its last round
        excluded, and the planned rounds."""
        per_round = SLOTS * len(self.plan.warm_up)
        done = len(self.blocks) * self.plan.rounds + max(0, slots - 1) // per_round
        return done, self.plan.blocks * self.plan.rounds


class PartialFile:
    """The file of one partial measurement. Its name contains a digest of all that the measurement
    depends on, so that a changed artifact starts a new one."""

    def __init__(self, folder: Path, serial: str, depends_on: Mapping[str, object]) -> None:
        text = json.dumps({"serial": serial, **depends_on}, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        name = re.sub(r"[^A-Za-z0-9.-]", "_", serial)
        self.path = folder / "parts" / f"adb-{name}-{digest[:16]}.json"

    def read(self) -> PartialMeasurement | None:
        """Return what an earlier run left, or None if the file is missing, too old or damaged."""
        try:
            if time.time() - self.path.stat().st_mtime > MAX_AGE_S:
                return None
            return read_document(
                self.path, PartialMeasurement, kind="partial measurement", remedy="measure again"
            )
        except (OSError, UserError):
            return None

    def write(self, partial: PartialMeasurement) -> None:
        """Write the finished blocks.

        Raises:
            UserError: the folder is read-only or full.
        """
        write_atomic(self.path, partial.model_dump_json() + "\n")

    def remove(self) -> None:
        """Remove the file, and its folder if it is empty then."""
        self.path.unlink(missing_ok=True)
        try:
            self.path.parent.rmdir()
        except OSError:  # it holds others
            return
