"""Finished blocks in the run's folder, so that the same command goes on where it was cut short."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lolvit.documents import read_document
from lolvit.errors import UserError
from lolvit.files import write_atomic
from lolvit_benchmarks.backends.android.blocks import Block, Plan
from lolvit_benchmarks.harness.schedule import SLOTS

# Older ones were measured under conditions that nobody remembers.
OLDEST_S = 24 * 3600.0


class Parts(BaseModel):
    """A measurement on one phone so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lolvit-bench-parts"] = "lolvit-bench-parts"
    plan: Plan
    look: Block
    blocks: tuple[Block, ...] = ()

    def rounds_at(self, slots: int) -> tuple[int, int]:
        """Return the whole rounds made when `slots` slots of the next block are done, the last
        round of the block left out, and those planned."""
        each = SLOTS * len(self.plan.settling)
        done = len(self.blocks) * self.plan.rounds + max(0, slots - 1) // each
        return done, self.plan.blocks * self.plan.rounds


class PartsFile:
    """Where the parts of one measurement are kept. Its name holds a digest of all that the parts
    depend on, so that those of a changed artifact are not found."""

    def __init__(self, folder: Path, serial: str, depends_on: Mapping[str, object]) -> None:
        text = json.dumps({"serial": serial, **depends_on}, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        name = re.sub(r"[^A-Za-z0-9.-]", "_", serial)
        self.path = folder / "parts" / f"adb-{name}-{digest[:16]}.json"

    def read(self) -> Parts | None:
        """Return the parts that an earlier run left, or None: there are none, they are too old, or
        the file is damaged."""
        try:
            if time.time() - self.path.stat().st_mtime > OLDEST_S:
                return None
            return read_document(self.path, Parts, kind="parts", remedy="measure again")
        except (OSError, UserError):
            return None

    def write(self, parts: Parts) -> None:
        """Keep the parts.

        Raises:
            UserError: the folder is read-only or full.
        """
        write_atomic(self.path, parts.model_dump_json() + "\n")

    def remove(self) -> None:
        """Remove the parts, and their folder with the last."""
        self.path.unlink(missing_ok=True)
        try:
            self.path.parent.rmdir()
        except OSError:  # others are in it
            return
