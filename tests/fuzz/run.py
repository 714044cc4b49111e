"""Run the fuzzing targets, one after another: `python -m tests.fuzz.run --minutes 10 [TARGET ...]`.

Corpora, findings and counts are kept in the user's cache, and the next run goes on from there.
Exits with 1 if there are findings.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import native
from tests.fuzz.artifacts import cache
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
START_SECONDS = 120  # of a worker that imports torch on a busy machine


@dataclass(frozen=True)
class Row:
    """What one target did."""

    target: str
    inputs: int
    minutes: float
    corpus: int
    findings: tuple[str, ...]


def run(target: str, seconds: float) -> Row:
    """Fuzz a target for so many seconds; a worker that ended before is started again."""
    home = cache() / target
    before, started = _count(home), time.monotonic()
    home.mkdir(parents=True, exist_ok=True)
    while (left := seconds - (time.monotonic() - started)) >= 1:
        module = "tests.fuzz.worker" if target in TARGETS else "tests.fuzz.native"
        command = [sys.executable, "-m", module, target, str(int(left))]
        with (home / "log.txt").open("wb") as log:
            try:
                # One thread, as most parsers have: the machine's others are left alone.
                done = subprocess.run(
                    command, cwd=ROOT, stdout=log, stderr=log, timeout=left + START_SECONDS,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                _keep_log(home, "no end")
                break
        if done.returncode and not _stopped_at_an_input(home):
            _keep_log(home, f"exit code {done.returncode}")
            break
    minutes = (time.monotonic() - started) / 60
    return Row(target, _count(home) - before, minutes, _files(home / "corpus"), findings(home))


def findings(home: Path) -> tuple[str, ...]:
    """Return the names of a target's findings; libFuzzer's are inputs without a text."""
    folder = home / "findings"
    return tuple(sorted(p.name for p in folder.glob("*") if p.suffix != ".input"))


def _stopped_at_an_input(home: Path) -> bool:
    """Whether libFuzzer wrote the input at which it stopped."""
    return "Test unit written to" in (home / "log.txt").read_text(errors="replace")


def _keep_log(home: Path, what: str) -> None:
    (home / "findings").mkdir(exist_ok=True)
    text = (home / "log.txt").read_text(errors="replace")
    (home / "findings" / "worker-failed.txt").write_text(f"{what}\n{text[-5000:]}")


def _count(home: Path) -> int:
    path = home / "inputs"
    return int(struct.unpack("<Q", path.read_bytes())[0]) if path.exists() else 0


def _files(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*"))


def main() -> None:
    """Run all targets, or those that are named, for equal parts of the time."""
    known = [*TARGETS, *native.TARGETS]
    parser = argparse.ArgumentParser(description="Fuzz lolvit's parsers and loaders.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(known)}")
    parser.add_argument("--minutes", type=float, default=10, help="of all together (default: 10)")
    asked = parser.parse_args()
    if unknown := [name for name in asked.targets if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    chosen = asked.targets or known
    print(f"corpora and findings: {cache()}")
    print(f"{'target':<18} {'inputs':>10} {'minutes':>8} {'corpus':>7}  findings", flush=True)
    rows = []
    for name in chosen:
        row = run(name, asked.minutes * 60 / len(chosen))
        rows.append(row)
        print(
            f"{row.target:<18} {row.inputs:>10,} {row.minutes:>8.1f} {row.corpus:>7}  "
            f"{', '.join(row.findings) or '-'}",
            flush=True,
        )
    total = sum(row.inputs for row in rows)
    print(f"{'all':<18} {total:>10,} {sum(row.minutes for row in rows):>8.1f}")
    sys.exit(1 if any(row.findings for row in rows) else 0)


if __name__ == "__main__":
    main()
