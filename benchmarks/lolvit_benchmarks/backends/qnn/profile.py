"""The estimate of time that Qualcomm's compiler gives for some chips, read from its profile.

Run as a module, with an artifact and a chip, it prints one JSON document: compiling is native code,
so that it has a process of its own.
"""

from __future__ import annotations

import csv
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lolvit.errors import DeviceError
from lolvit_benchmarks.harness.child import answer
from lolvit_runtimes.native import opening
from lolvit_runtimes.ort import REFUSALS
from lolvit_runtimes.qnn_provider import left_out, placement_of, qnn_session
from lolvit_runtimes.qnn_socs import Soc, find_soc

_TIME = re.compile(r"^Simulated \(Accelerator exec time us(?: \((lower|upper) estimate\))?\)$")
_PROFILE = "profile.csv"


@dataclass(frozen=True)
class CompilerEstimate:
    """Milliseconds of one inference as the compiler guesses them, with its bounds, and how many
    operations are on HTP and elsewhere."""

    ms: float
    lower_ms: float
    upper_ms: float
    placement: dict[str, int]


def estimate(path: Path, soc: Soc) -> CompilerEstimate:
    """Compile a portable artifact for a chip, and return the compiler's estimate.

    Raises:
        DeviceError: HTP does not take every operation, or there is no estimate for the chip.
    """
    with tempfile.TemporaryDirectory() as scratch:
        profile = Path(scratch) / _PROFILE
        options = {"profiling_level": "detailed", "profiling_file_path": str(profile)}
        with opening("Qualcomm's HTP compiler", path, REFUSALS):
            session = qnn_session(path, soc, options=options, fallback=True)
        if left := left_out(session):  # what is estimated is then a part of the model
            raise DeviceError(f"HTP does not take {left[0]}", where=str(path))
        placement = placement_of(session)
        del session
        times = read_times(profile.read_text().splitlines()) if profile.exists() else {}
    if set(times) != {"", "lower", "upper"}:
        raise DeviceError(f"Qualcomm's compiler gives no estimate for {soc.name}", where=str(path))
    return CompilerEstimate(times[""], times["lower"], times["upper"], placement)


def read_times(lines: Iterable[str]) -> Mapping[str, float]:
    """Return the estimates of a profile in milliseconds: "" is the estimate itself, `lower` and
    `upper` its bounds. The last graph's count, and no estimate is none."""
    found: dict[str, float] = {}
    for row in csv.DictReader(lines):
        match = _TIME.match(row.get("Event Identifier") or "")
        if match:
            found[match[1] or ""] = float(row["Time"]) / 1000
    return found


if __name__ == "__main__":
    code = answer(lambda: asdict(estimate(Path(sys.argv[1]), find_soc(sys.argv[2]))))
    sys.stdout.flush()
    os._exit(code)  # native libraries may crash while they unload, which no longer matters
